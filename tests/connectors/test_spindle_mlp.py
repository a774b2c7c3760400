"""SpindleMLP against NumPy, and what it says of a single row."""

import numpy as np
import pytest
import torch

from mmkd.connectors import SpindleMLP
from mmkd.losses import DLKDAlignLoss
from mmkd.registry import MODELS


def test_equals_numpy():
    connector = MODELS.build(
        {'type': 'mmkd.SpindleMLP', 'in_channels': 6, 'out_channels': 4, 'expansion': 3}
    ).double()
    for parameter in connector.parameters():
        torch.nn.init.normal_(parameter)
    first, scale, shift, last, bias = (p.detach().numpy() for p in connector.parameters())
    features = torch.randn(5, 6, dtype=torch.float64)
    hidden = features.numpy() @ first.T
    hidden = (hidden - hidden.mean(0)) / np.sqrt(hidden.var(0) + 1e-5) * scale + shift
    expected = np.maximum(hidden, 0) @ last.T + bias
    np.testing.assert_allclose(connector(features).detach().numpy(), expected, rtol=1e-9)


@pytest.mark.parametrize(
    ('arguments', 'shapes'),
    [
        ((6, 4), [(64, 6), (64,), (64,), (4, 64), (4,)]),
        ((6, 6, 1), [(6, 6), (6,), (6,), (6, 6), (6,)]),
    ],
    ids=['alignment', 'correlation'],
)
def test_widths(arguments, shapes):
    assert [tuple(p.shape) for p in SpindleMLP(*arguments).parameters()] == shapes


def test_every_weight_learns_from_the_alignment():
    connector = SpindleMLP(6, 4)
    DLKDAlignLoss()(connector(torch.randn(8, 6)), torch.randn(8, 4)).backward()
    assert all(parameter.grad.any() for parameter in connector.parameters())


def test_a_single_row_only_in_evaluation():
    connector = SpindleMLP(6, 4)
    with pytest.raises(ValueError, match=r'features: expected at least 2 rows .* got 1; .*drop_'):
        connector(torch.randn(1, 6))
    connector.eval()
    rows = torch.randn(3, 6)
    torch.testing.assert_close(connector(rows[:1]), connector(rows)[:1])


@pytest.mark.parametrize('name', ['in_channels', 'out_channels', 'expansion'])
def test_arguments_must_be_positive(name):
    with pytest.raises(ValueError, match=f'{name}: expected a positive integer, got 0'):
        SpindleMLP(**{'in_channels': 6, 'out_channels': 4, name: 0})


def test_input_errors():
    with pytest.raises(ValueError, match=r'features: expected a shape \(B, 6\), got \(3, 4\)'):
        SpindleMLP(6, 4)(torch.zeros(3, 4))
    with pytest.raises(TypeError, match=r'features: expected a Tensor \(B, 6\), got list'):
        SpindleMLP(6, 4)([torch.zeros(3, 6)])
