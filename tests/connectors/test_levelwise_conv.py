"""LevelwiseConv against convolutions applied by hand."""

import pytest
import torch
from torch.nn import functional as F

from mmkd.connectors import LevelwiseConv
from mmkd.losses import MimicLoss
from mmkd.registry import MODELS


def pyramid(num_levels=3):
    return tuple(torch.randn(2, 4, 12 >> level, 10) for level in range(num_levels))


def test_projects_each_level_by_its_own_weights():
    connector = MODELS.build(
        {'type': 'mmkd.LevelwiseConv', 'in_channels': 4, 'out_channels': 6, 'num_levels': 3}
    )
    features = pyramid()
    projected = connector(features)
    assert isinstance(projected, tuple)
    for conv, x, y in zip(connector.convs, features, projected, strict=True):
        by_hand = torch.einsum('oi,bihw->bohw', conv.weight[:, :, 0, 0], x)
        torch.testing.assert_close(y, by_hand + conv.bias[:, None, None])
    assert not torch.equal(connector.convs[0].weight, connector.convs[1].weight)


def test_a_larger_kernel_keeps_the_size():
    connector = LevelwiseConv(4, 6, num_levels=1, kernel_size=3)
    (feature,) = pyramid(1)
    conv = connector.convs[0]
    torch.testing.assert_close(
        connector(feature), F.conv2d(F.pad(feature, (1, 1, 1, 1)), conv.weight, conv.bias)
    )


def test_levels_of_different_widths():
    features = tuple(torch.randn(2, width, 6, 5) for width in (3, 8, 2))
    connector = MODELS.build(
        {'type': 'mmkd.LevelwiseConv', 'in_channels': [3, 8], 'out_channels': 6, 'num_levels': 2}
    )
    assert list(connector.state_dict()) == list(LevelwiseConv(4, 6, num_levels=2).state_dict())
    for conv, x, y in zip(connector.convs, features, connector(features), strict=False):
        by_hand = torch.einsum('oi,bihw->bohw', conv.weight[:, :, 0, 0], x)
        torch.testing.assert_close(y, by_hand + conv.bias[:, None, None])


@pytest.mark.parametrize('in_channels', [(4,), [4, 8, 16]])
def test_one_width_a_level(in_channels):
    message = r'in_channels: expected one for each of the 2 levels, got \(4,'
    with pytest.raises(ValueError, match=message):
        LevelwiseConv(in_channels, 6, num_levels=2)


def test_every_width_must_be_positive():
    with pytest.raises(ValueError, match='in_channels: expected a positive integer, got 0'):
        LevelwiseConv((4, 0), 6, num_levels=2)


def test_further_levels_are_dropped():
    connector = LevelwiseConv(4, 6, num_levels=2)
    features = pyramid()
    projected = connector(features)
    assert len(projected) == 2
    assert torch.equal(projected[1], connector.convs[1](features[1]))


def test_every_weight_learns_from_a_mimic_loss():
    connector = LevelwiseConv(4, 6, num_levels=2)
    teacher = tuple(torch.randn(2, 6, *level.shape[2:]) for level in pyramid())
    MimicLoss(levels=[0, 1])(connector(pyramid()), teacher).backward()
    assert all(parameter.grad.any() for parameter in connector.parameters())


def test_too_few_levels():
    with pytest.raises(ValueError, match='features: expected at least 4 levels, got 3'):
        LevelwiseConv(4, 6, num_levels=4)(pyramid())
    with pytest.raises(ValueError, match='features: expected at least 4 levels, got 1'):
        LevelwiseConv(4, 6, num_levels=4)(pyramid()[0])


@pytest.mark.parametrize('name', ['in_channels', 'out_channels', 'num_levels', 'kernel_size'])
def test_arguments_must_be_positive(name):
    arguments = {'in_channels': 4, 'out_channels': 6, 'num_levels': 2, name: 0}
    with pytest.raises(ValueError, match=f'{name}: expected a positive integer, got 0'):
        LevelwiseConv(**arguments)


def test_kernel_must_be_odd():
    with pytest.raises(ValueError, match='kernel_size: expected an odd number, got 2'):
        LevelwiseConv(4, 6, num_levels=2, kernel_size=2)
