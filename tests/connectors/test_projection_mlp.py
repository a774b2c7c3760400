"""ProjectionMLP against NumPy, and rows without statistics of their own."""

import numpy as np
import pytest
import torch

from mmkd.connectors import ProjectionMLP
from mmkd.losses import DLKDAlignLoss
from mmkd.registry import MODELS


def test_equals_numpy():
    connector = MODELS.build(
        {'type': 'mmkd.ProjectionMLP', 'in_channels': 6, 'out_channels': 4, 'expansion': 3}
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
    assert [tuple(p.shape) for p in ProjectionMLP(*arguments).parameters()] == shapes


def test_every_weight_learns_from_the_alignment():
    connector = ProjectionMLP(6, 4)
    DLKDAlignLoss()(connector(torch.randn(8, 6)), torch.randn(8, 4)).backward()
    assert all(parameter.grad.any() for parameter in connector.parameters())


@pytest.mark.parametrize('rows', [0, 1])
def test_fewer_than_two_rows_take_the_running_statistics(rows):
    connector, features = ProjectionMLP(6, 4), torch.randn(5, 6)
    connector(torch.randn(8, 6))
    before = connector.state_dict()['layers.1.running_mean'].clone()
    result = connector(features[:rows])
    torch.testing.assert_close(connector.layers[1].running_mean, before, rtol=0, atol=0)
    result.sum().backward()  # all parameters take part, for DDP
    assert all(parameter.grad is not None for parameter in connector.parameters())
    connector.eval()
    torch.testing.assert_close(result, connector(features)[:rows])
    connector.train()
    assert not torch.allclose(connector(features)[:1], connector.eval()(features)[:1])


@pytest.mark.parametrize('name', ['in_channels', 'out_channels', 'expansion'])
def test_arguments_must_be_positive(name):
    with pytest.raises(ValueError, match=f'{name}: expected a .*, got 0'):
        ProjectionMLP(**{'in_channels': 6, 'out_channels': 4, name: 0})


@pytest.mark.parametrize(('expansion', 'hidden'), [(0.25, 2), (0.5, 4), (16, 128)])
def test_hidden_width_may_be_a_fraction(expansion, hidden):
    layers = ProjectionMLP(6, 8, expansion=expansion).layers
    assert (layers[0].out_features, layers[3].in_features) == (hidden, hidden)


def test_hidden_width_is_whole():
    with pytest.raises(ValueError, match=r'expansion: expected a whole .*, got 0\.25 x 6 = 1\.5'):
        ProjectionMLP(6, 6, expansion=0.25)


def test_input_errors():
    with pytest.raises(ValueError, match=r'features: expected a shape \(B, 6\), got \(3, 4\)'):
        ProjectionMLP(6, 4)(torch.zeros(3, 4))
    with pytest.raises(TypeError, match=r'features: expected a Tensor \(B, 6\), got list'):
        ProjectionMLP(6, 4)([torch.zeros(3, 6)])
