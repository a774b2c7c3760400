"""Patch layouts against explicit loops and torch's unfold."""

import pytest
import torch
from torch.nn import functional as F

from mmkd.functional import fitting_patch_size, to_patches

SHAPE = (2, 3, 8, 12)  # B, C, H, W


def patch(feature, p, n):
    """Patch n in row-major order, shape (B, C, p, p)."""
    row, column = divmod(n, feature.shape[3] // p)
    return feature[:, :, row * p : (row + 1) * p, column * p : (column + 1) * p]


@pytest.mark.parametrize('channels_last', [False, True])
def test_layouts_hold_what_they_say(channels_last):
    feature, p = torch.randn(SHAPE), 4
    if channels_last:
        feature = feature.contiguous(memory_format=torch.channels_last)
    channel, batch, spatial = (
        to_patches(feature, p, average=name) for name in ('channel', 'batch', 'spatial')
    )
    assert channel.shape == (3, 6, 2 * 16)
    assert batch.shape == (2, 6, 3 * 16)
    assert spatial.shape == (16, 6, 2 * 3)
    for n in range(6):
        expected = patch(feature, p, n)
        for c in range(3):
            assert torch.equal(channel[c, n], expected[:, c].flatten())
        for b in range(2):
            assert torch.equal(batch[b, n], expected[b].flatten())
        for position in range(16):
            y, x = divmod(position, 4)
            assert torch.equal(spatial[position, n], expected[:, :, y, x].flatten())


def test_resize_equals_interpolate_and_unfold():
    feature = torch.randn(2, 3, 7, 10)
    resized = F.interpolate(feature, size=(8, 12), mode='bilinear', align_corners=False)
    columns = F.unfold(resized, kernel_size=4, stride=4)  # B, C p p, N
    assert torch.equal(to_patches(feature, 4, average='batch'), columns.mT)


def test_pad_adds_zeros_at_the_bottom_and_the_right():
    feature = torch.ones(1, 1, 3, 2)
    expected = torch.tensor([[[1.0, 1, 1, 1], [1, 1, 0, 0]]])
    assert torch.equal(to_patches(feature, 2, fit='pad'), expected)


@pytest.mark.parametrize('average', ['channel', 'batch', 'spatial'])
def test_is_always_a_new_tensor(average):
    feature = torch.randn(1, 1, 4, 4)
    before = feature.clone()
    to_patches(feature, 1, average=average).zero_()
    assert torch.equal(feature, before)


@pytest.mark.parametrize(
    ('size', 'patch_size', 'min_patches', 'expected'),
    [
        ((100, 168), 16, 4, 16),
        ((25, 42), 16, 4, 16),  # 2 x 3
        ((13, 21), 16, 4, 8),  # 1 x 2, then 2 x 3
        ((13, 21), 12, 7, 6),  # 2 x 2, then 3 x 4
        ((2, 2), 16, 4, 1),
        ((1, 3), 16, 4, None),
        ((1, 3), 16, 1, 16),
    ],
)
def test_fitting_patch_size(size, patch_size, min_patches, expected):
    assert fitting_patch_size(size, patch_size, min_patches) == expected


@pytest.mark.parametrize(
    ('shape', 'options', 'message'),
    [
        ((3, 8, 8), {}, r'feature: expected a shape \(B, C, H, W\), got \(3, 8, 8\)'),
        ((0, 3, 8, 8), {}, r'feature: expected a shape \(B, C, H, W\), got \(0, 3, 8, 8\)'),
        (SHAPE, {'patch_size': 0}, 'patch_size: expected a positive integer, got 0'),
        (SHAPE, {'patch_size': 2.0}, r'patch_size: expected a positive integer, got 2\.0'),
        (SHAPE, {'average': 'mix'}, "average: expected one of .*'spatial'.* got 'mix'"),
        (SHAPE, {'fit': 'crop'}, "fit: expected one of .*'pad'.* got 'crop'"),
    ],
)
def test_errors(shape, options, message):
    with pytest.raises(ValueError, match=message):
        to_patches(torch.randn(shape), **{'patch_size': 4, **options})
