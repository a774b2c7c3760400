"""LinearEmbed against NumPy, its unit length, and what frozen means."""

import numpy as np
import pytest
import torch

from mmkd.connectors import LinearEmbed
from mmkd.registry import MODELS


def by_hand(connector, features):
    weight, bias = (p.detach().numpy() for p in (connector.linear.weight, connector.linear.bias))
    embedding = features.numpy() @ weight.T + bias
    return embedding / np.sqrt((embedding**2).sum(1, keepdims=True))


def test_equals_numpy():
    connector = MODELS.build({'type': 'mmkd.LinearEmbed', 'in_channels': 6, 'out_channels': 4})
    features = torch.randn(5, 6)
    np.testing.assert_allclose(
        connector(features).detach().numpy(), by_hand(connector, features), rtol=1e-5, atol=1e-6
    )


def test_default_width():
    assert LinearEmbed(6)(torch.randn(2, 6)).shape == (2, 128)


def test_without_normalization_it_is_linear():
    connector = LinearEmbed(6, 4, normalize=False)
    x, y = torch.randn(2, 5, 6)
    zero = connector(torch.zeros(1, 6))
    torch.testing.assert_close(
        connector(2 * x + y) - zero, 2 * (connector(x) - zero) + connector(y) - zero
    )


def test_gradcheck():
    connector = LinearEmbed(6, 4).double()
    features = torch.randn(3, 6, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(connector, (features,))


def test_frozen_weights_stay_but_pass_the_gradient_on():
    connector = LinearEmbed(6, 4, frozen=True).train()
    features = torch.randn(3, 6, requires_grad=True)
    connector(features)[:, 0].sum().backward()
    assert features.grad.any()
    assert all(p.grad is None and not p.requires_grad for p in connector.parameters())


def test_weights_learn_by_default():
    connector = LinearEmbed(6, 4)
    connector(torch.randn(3, 6))[:, 0].sum().backward()
    assert all(p.grad.any() for p in connector.parameters())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_a_row_that_embeds_to_zero_stays_zero(dtype):
    connector = LinearEmbed(6, 4).to(dtype)
    torch.nn.init.zeros_(connector.linear.bias)
    features = torch.randn(3, 6).to(dtype)
    features[1] = 0
    features.requires_grad_()
    embedding = connector(features)
    embedding.sum().backward()
    assert not embedding[1].any()
    assert not features.grad[1].any()
    assert features.grad.isfinite().all()
    assert all(p.grad.isfinite().all() for p in connector.parameters())
    torch.testing.assert_close(embedding[[0, 2]].norm(dim=1), torch.ones(2))


def test_length_is_that_of_float32_under_autocast():
    connector = LinearEmbed(6, 4)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        embedding = connector(torch.randn(3, 6))
    assert embedding.dtype == torch.float32
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(3))


def test_nan_is_not_hidden():
    features = torch.randn(3, 6)
    features[1, 0] = float('nan')
    assert LinearEmbed(6, 4)(features).isnan().any(1).tolist() == [False, True, False]


@pytest.mark.parametrize('name', ['in_channels', 'out_channels'])
def test_widths_must_be_positive(name):
    with pytest.raises(ValueError, match=f'{name}: expected a positive integer, got 0'):
        LinearEmbed(**{'in_channels': 6, 'out_channels': 4, name: 0})


@pytest.mark.parametrize(
    ('shape', 'got'),
    [
        ((3, 5), r'\(3, 5\)$'),
        ((6,), r'\(6,\)$'),
        ((3, 6, 2, 2), r'\(3, 6, 2, 2\); record them after pooling'),
    ],
)
def test_shape_errors(shape, got):
    with pytest.raises(ValueError, match=r'features: expected a shape \(B, 6\), got ' + got):
        LinearEmbed(6)(torch.zeros(shape))


def test_a_tuple_is_refused():
    with pytest.raises(TypeError, match=r'features: expected a Tensor .*, got tuple; .*data_idx'):
        LinearEmbed(6)((torch.zeros(2, 6),))
