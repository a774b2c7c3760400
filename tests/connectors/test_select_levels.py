"""SelectLevels: which levels, their values, and sizes that are those of a coarser network."""

import pytest
import torch
from mmdet.models.necks import FPN
from torch import nn
from torch.nn import functional as F

from mmkd.connectors import SelectLevels
from mmkd.losses import PCKALoss
from mmkd.registry import MODELS


def pyramid(num_levels=4, channels=4):
    return tuple(torch.randn(2, channels, 16 >> level, 12) for level in range(num_levels))


def sizes(features):
    return [tuple(feature.shape[2:]) for feature in features]


def test_picks_levels_in_the_order_given():
    features = pyramid()
    connector = MODELS.build({'type': 'mmkd.SelectLevels', 'levels': [3, 1]})
    picked = connector(list(features))
    assert isinstance(picked, tuple)
    assert [level is features[i] for level, i in zip(picked, (3, 1), strict=True)] == [True, True]
    assert not list(connector.parameters())


def test_downsampling_averages_the_pixels_there_are():
    feature = torch.tensor([[1.0, 2.0, 3.0], [4.0, 5.0, 6.0], [7.0, 8.0, 9.0]])
    (pooled,) = SelectLevels([0], downsample=2)(feature[None, None])
    # 2 x 2 windows; those at the border have two pixels, and one
    assert torch.equal(pooled, torch.tensor([[[[3.0, 4.5], [7.5, 9.0]]]]))


@pytest.mark.parametrize('downsample', [2, 4])
@pytest.mark.parametrize('size', [(100, 168), (25, 42), (13, 21), (7, 1), (1, 2), (3, 5)])
def test_sizes_are_those_of_strided_convolutions(size, downsample):
    feature = torch.zeros(1, 1, *size)
    (pooled,) = SelectLevels([0], downsample=downsample)((feature,))
    expected = feature
    for _ in range(downsample // 2):
        expected = F.conv2d(expected, torch.zeros(1, 1, 3, 3), stride=2, padding=1)
    assert sizes([pooled]) == sizes([expected])


@pytest.mark.parametrize('extra', ['on_output', 'on_input', False], ids=str)
@pytest.mark.parametrize('size', [(97, 131), (64, 90), (33, 35)])
def test_sizes_are_those_of_the_next_level_of_an_fpn(size, extra):
    backbone = []
    feature = torch.randn(1, 3, *size)
    for _ in range(3):
        feature = F.conv2d(feature, torch.ones(3, 3, 3, 3), stride=2, padding=1)
        backbone.append(feature)
    features = FPN([3, 3, 3], 4, num_outs=5, add_extra_convs=extra)(backbone)
    connector = SelectLevels([0, 1, 2, 3], downsample=2)
    assert sizes(connector(features)) == sizes(features[1:])


def test_before_a_projection_in_a_list_of_connectors():
    finer, coarser = pyramid(4, channels=4), pyramid(4, channels=6)[1:]
    finer = tuple(F.interpolate(level, scale_factor=(1, 2)) for level in finer)
    connector = nn.Sequential(
        MODELS.build({'type': 'mmkd.SelectLevels', 'levels': (1, 2), 'downsample': 2}),
        MODELS.build(
            {'type': 'mmkd.LevelwiseConv', 'in_channels': 4, 'out_channels': 6, 'num_levels': 2}
        ),
    )
    projected = connector(finer)
    assert sizes(projected) == sizes(coarser[1:])
    PCKALoss(patch_size=2)(projected, coarser[1:]).backward()
    assert all(parameter.grad.any() for parameter in connector[1].convs.parameters())


def test_gradient_flows_to_the_picked_levels_only():
    features = tuple(level.requires_grad_() for level in pyramid())
    sum(level.sum() for level in SelectLevels([0, 2], downsample=2)(features)).backward()
    assert [level.grad is not None for level in features] == [True, False, True, False]
    torch.testing.assert_close(features[0].grad, torch.full_like(features[0], 0.25))


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'levels': []}, r'levels: expected distinct indices >= 0, at least one, got \[\]'),
        ({'levels': [1, 1]}, r'levels: expected distinct .* got \[1, 1\]'),
        ({'levels': [0, -1]}, r'levels: expected distinct .* got \[0, -1\]'),
        ({'levels': [0], 'downsample': 0}, 'downsample: expected a positive integer, got 0'),
        ({'levels': [0], 'downsample': 0.5}, r'downsample: expected a positive .* got 0\.5'),
    ],
)
def test_construction_errors(arguments, message):
    with pytest.raises(ValueError, match=message):
        SelectLevels(**arguments)


def test_input_errors():
    connector = SelectLevels([1, 4])
    with pytest.raises(ValueError, match='features: expected a level of index 4, got 4 levels'):
        connector(pyramid())
    with pytest.raises(ValueError, match='features: expected a level of index 1, got 1 levels'):
        connector(pyramid()[0])
    with pytest.raises(TypeError, match=r'features: expected a Tensor or a non-empty .* got dict'):
        connector({'p3': pyramid()[0]})
