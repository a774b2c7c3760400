"""The mean over a box against the mean over torchvision's bins."""

import pytest
import torch
from torchvision.ops import roi_align

from mmkd.recorders.mean_roi_align import MeanRoIAlign

SCALE = 1 / 8
HEIGHT, WIDTH = 20, 26


def reference(feature, rois, bins):
    return roi_align(feature, rois, bins, SCALE, sampling_ratio=0, aligned=True).mean((2, 3))


def boxes_of_all_kinds():
    """Small and large, beyond every border, in cells and in fractions of them, without an area."""
    generator = torch.Generator().manual_seed(0)
    corners = torch.rand(60, 2, generator=generator, dtype=torch.float64) * 160 - 20
    sides = torch.rand(60, 2, generator=generator, dtype=torch.float64) ** 3 * 200
    odd = [
        [16, 24, 16, 40],  # no width
        [40, 40, 60, 40],  # no height
        [0, 0, 8 * WIDTH, 8 * HEIGHT],
        [-500, -500, 900, 900],
        [300, 300, 400, 420],  # outside
        [8, 8, 16, 16],
    ]
    boxes = torch.cat([torch.cat([corners, corners + sides], 1), torch.tensor(odd).double()])
    image = torch.randint(0, 3, (len(boxes), 1), generator=generator).double()
    return torch.cat([image, boxes], 1)


@pytest.mark.parametrize('bins', [1, 3, 7])
def test_equals_the_mean_over_bins_and_its_gradient(bins):
    rois = boxes_of_all_kinds()
    feature = torch.randn(4, 5, HEIGHT, WIDTH, dtype=torch.float64, requires_grad=True)
    expected = reference(feature, rois, bins)
    means = MeanRoIAlign(SCALE, bins)(feature, rois)
    assert means.shape == (len(rois), 5, 1, 1)
    torch.testing.assert_close(means.flatten(1), expected)
    weight = torch.randn_like(expected)
    gradients = (
        torch.autograd.grad((values * weight).sum(), feature)[0]
        for values in (means.flatten(1), expected)
    )
    torch.testing.assert_close(*gradients)


def test_equals_the_mean_over_bins_in_float32_and_channels_last():
    rois = boxes_of_all_kinds().float()
    feature = torch.randn(3, 16, HEIGHT, WIDTH).contiguous(memory_format=torch.channels_last)
    means = MeanRoIAlign(SCALE, 7)(feature, rois).flatten(1)
    torch.testing.assert_close(means, reference(feature, rois, 7), rtol=1e-4, atol=1e-5)


def test_images_without_boxes():
    rois = torch.tensor([[2.0, 8, 8, 40, 48]])
    feature = torch.randn(3, 2, HEIGHT, WIDTH, requires_grad=True)
    means = MeanRoIAlign(SCALE, 7)(feature, rois)
    torch.testing.assert_close(means.flatten(1), reference(feature, rois, 7))
    gradient = torch.autograd.grad(means.sum(), feature)[0]
    assert not gradient[:2].any()
    assert gradient[2].any()
