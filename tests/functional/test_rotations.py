"""Rotations against NumPy."""

import numpy as np
import pytest
import torch

from mmkd.functional import rotations


@pytest.mark.parametrize('dtype', [torch.uint8, torch.float16, torch.float32])
def test_equals_numpy_view_by_view(dtype):
    images = (torch.rand(2, 3, 5, 5) * 255).to(dtype)
    views = rotations(images)
    assert views.dtype == dtype
    assert views.shape == (8, 3, 5, 5)
    for view, quarters in zip(views.split(2), range(4), strict=True):
        for ours, image in zip(view, images, strict=True):
            expected = np.rot90(image.numpy(), quarters, axes=(1, 2))
            np.testing.assert_array_equal(ours.numpy(), expected)


def test_turning_a_view_turns_the_others():
    images = torch.randn(2, 3, 4, 4)
    turned = rotations(images)[2:4]
    assert torch.equal(rotations(turned), rotations(images).roll(-2, 0))


def test_gradient_returns_to_each_pixel_from_each_view():
    images = torch.randn(2, 3, 4, 4, requires_grad=True)
    weight = torch.randn(4, 1, 1, 1, 1)
    (rotations(images).unflatten(0, (4, 2)) * weight).sum().backward()
    torch.testing.assert_close(images.grad, weight.sum().expand(2, 3, 4, 4))


@pytest.mark.parametrize('shape', [(2, 3, 4, 5), (3, 4, 4), (2, 1, 3, 4, 4)])
def test_images_must_be_square(shape):
    with pytest.raises(ValueError, match=r'images: expected square .*, got \(\d, .*crop or'):
        rotations(torch.zeros(shape))
