"""RoIAlign of mmcv.ops on the stand-in, against an explicit bilinear-sampling loop."""

import mmkd  # noqa: F401  # isort: skip  (makes mmcv.ops importable)
import math

import pytest
import torch
from mmcv import ops
from torch import Tensor

# In the image; fractional; half outside; wholly outside; smaller than one feature pixel.
ROIS = torch.tensor(
    [
        [0, 2, 3, 21, 17],
        [1, 4.3, 1.7, 13.9, 20.2],
        [1, -11, -7, 9, 30],
        [0, 90, 90, 120, 110],
        [0, 8.2, 8.1, 8.9, 9.5],
    ],
    dtype=torch.float64,
)


def bilinear(feature: Tensor, y: float, x: float) -> Tensor:
    """Sample a (C, H, W) map; positions within a pixel of the border are clamped to it."""
    height, width = feature.shape[1:]
    if not (-1 <= y <= height and -1 <= x <= width):
        return feature.new_zeros(len(feature))
    y, x = min(max(y, 0.0), height - 1), min(max(x, 0.0), width - 1)
    top, left = int(y), int(x)
    bottom, right = min(top + 1, height - 1), min(left + 1, width - 1)
    dy, dx = y - top, x - left
    upper = (1 - dx) * feature[:, top, left] + dx * feature[:, top, right]
    lower = (1 - dx) * feature[:, bottom, left] + dx * feature[:, bottom, right]
    return (1 - dy) * upper + dy * lower


def plain_roi_align(
    features: Tensor, rois: Tensor, size: tuple[int, int], scale: float, ratio: int, aligned: bool
) -> Tensor:
    out = []
    for batch, *corners in rois.tolist():
        x1, y1, x2, y2 = (v * scale - (0.5 if aligned else 0) for v in corners)
        width, height = x2 - x1, y2 - y1
        if not aligned:
            width, height = max(width, 1), max(height, 1)
        bin_h, bin_w = height / size[0], width / size[1]
        rows = ratio or math.ceil(bin_h)
        cols = ratio or math.ceil(bin_w)
        for i in range(size[0]):
            for j in range(size[1]):
                samples = [
                    bilinear(
                        features[int(batch)],
                        y1 + (i + (p + 0.5) / rows) * bin_h,
                        x1 + (j + (q + 0.5) / cols) * bin_w,
                    )
                    for p in range(rows)
                    for q in range(cols)
                ]
                out.append(torch.stack(samples).mean(dim=0))
    pooled = torch.stack(out).view(len(rois), *size, features.size(1))
    return pooled.permute(0, 3, 1, 2)


def random_features(dtype: torch.dtype = torch.float64) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 3, 8, 9, generator=generator, dtype=torch.float64).to(dtype)


@pytest.mark.parametrize('aligned', [True, False])
@pytest.mark.parametrize('ratio', [0, 1, 2])
@pytest.mark.parametrize('scale', [1.0, 0.25])
def test_equals_the_definition_forward_and_backward(aligned, ratio, scale):
    features = random_features().requires_grad_()
    expected = plain_roi_align(features, ROIS, (2, 3), scale, ratio, aligned)
    layer = ops.RoIAlign((2, 3), scale, sampling_ratio=ratio, aligned=aligned)
    actual = layer(features, ROIS)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    upstream = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, features, upstream),
        torch.autograd.grad(expected, features, upstream),
        rtol=1e-10,
        atol=1e-12,
    )


@pytest.mark.parametrize(('aligned', 'shift'), [(True, 0.5), (False, 0.0)])
def test_samples_a_linear_ramp_at_the_bin_centers(aligned, shift):
    y, x = torch.meshgrid(torch.arange(8.0), torch.arange(8.0), indexing='ij')
    ramp = (10 * y + x)[None, None]
    out = ops.roi_align(ramp, torch.tensor([[0.0, 1, 1, 5, 5]]), 2, 1.0, 0, 'avg', aligned)
    centers = [10 * (i - shift) + (j - shift) for i in (2, 4) for j in (2, 4)]
    torch.testing.assert_close(out.flatten(), torch.tensor(centers))


def test_gradcheck():
    features = random_features()[:, :1, :5, :5].contiguous().requires_grad_()
    rois = torch.tensor([[0, 0.5, 0.3, 4.1, 3.7], [1, 1.2, 1.1, 4.6, 4.9]], dtype=torch.float64)
    assert torch.autograd.gradcheck(lambda f: ops.roi_align(f, rois, 2), features)


@pytest.mark.parametrize('aligned', [True, False])
def test_without_rois(aligned):
    features = random_features(torch.float32).requires_grad_()
    out = ops.roi_align(features, torch.zeros(0, 5), 7, 0.25, 0, 'avg', aligned)
    assert out.shape == (0, 3, 7, 7)
    out.sum().backward()
    assert torch.equal(features.grad, torch.zeros_like(features))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(dtype):
    half = random_features(dtype).requires_grad_()
    single = half.detach().float().requires_grad_()
    rois = ROIS.float()
    out, expected = (ops.roi_align(f, rois, (2, 3), 0.5) for f in (half, single))
    assert out.dtype == dtype
    assert torch.equal(out, expected.to(dtype))
    out.sum().backward()
    expected.sum().backward()
    assert torch.equal(half.grad, single.grad.to(dtype))


def test_noncontiguous_features():
    features = random_features().to(memory_format=torch.channels_last)
    expected = plain_roi_align(features, ROIS, (2, 2), 0.5, 0, True)
    torch.testing.assert_close(ops.roi_align(features, ROIS, 2, 0.5), expected)


def test_max_pooling_is_refused():
    layer = ops.RoIAlign(2, pool_mode='max')
    with pytest.raises(NotImplementedError, match="pool_mode: expected 'avg', got 'max'"):
        layer(random_features(), ROIS)
