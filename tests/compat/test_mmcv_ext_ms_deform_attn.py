"""Multi-scale deformable attention of mmcv.ops, against an explicit sampling loop."""

import mmkd  # noqa: F401  # isort: skip  (makes mmcv.ops importable)
import math

import pytest
import torch
from mmcv.ops.multi_scale_deform_attn import MultiScaleDeformableAttnFunction
from torch import Tensor

SHAPES = torch.tensor([[4, 5], [2, 3]])
STARTS = torch.tensor([0, 20])
BATCH, QUERIES, HEADS, POINTS, CHANNELS = 2, 3, 2, 2, 4


def attend(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    return MultiScaleDeformableAttnFunction.apply(value, SHAPES, STARTS, locations, weights, 64)


def sample(grid: Tensor, location: Tensor) -> Tensor:
    """Bilinear sample of an (H, W, C) grid at x, y in [0, 1], zero outside."""
    height, width = grid.shape[:2]
    x, y = location[0] * width - 0.5, location[1] * height - 0.5
    left, top = math.floor(x.item()), math.floor(y.item())
    total = grid.new_zeros(grid.size(2))
    for row in (top, top + 1):
        for col in (left, left + 1):
            if 0 <= row < height and 0 <= col < width:
                share = (1 - (y - row).abs()) * (1 - (x - col).abs())
                total = total + share * grid[row, col]
    return total


def definition(value: Tensor, locations: Tensor, weights: Tensor) -> Tensor:
    out = []
    for b in range(BATCH):
        for q in range(QUERIES):
            for h in range(HEADS):
                total = value.new_zeros(CHANNELS)
                for level, (height, width) in enumerate(SHAPES.tolist()):
                    start = int(STARTS[level])
                    grid = value[b, start : start + height * width, h].view(height, width, -1)
                    for p in range(POINTS):
                        at = b, q, h, level, p
                        total = total + weights[at] * sample(grid, locations[at])
                out.append(total)
    return torch.stack(out).view(BATCH, QUERIES, HEADS * CHANNELS)


def random_case() -> list[Tensor]:
    """Value, locations (some outside the image) and weights, as float64 leaves."""
    generator = torch.Generator().manual_seed(0)
    options = {'generator': generator, 'dtype': torch.float64}
    value = torch.randn(BATCH, 26, HEADS, CHANNELS, **options)
    locations = torch.rand(BATCH, QUERIES, HEADS, 2, POINTS, 2, **options) * 1.4 - 0.2
    weights = torch.rand(BATCH, QUERIES, HEADS, 2, POINTS, **options)
    return [t.requires_grad_() for t in (value, locations, weights)]


def test_equals_the_definition_forward_and_backward():
    leaves = random_case()
    actual, expected = attend(*leaves), definition(*leaves)
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-12)
    upstream = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, leaves, upstream),
        torch.autograd.grad(expected, leaves, upstream),
        rtol=1e-10,
        atol=1e-12,
    )


def test_hand_computed():
    # The center of pixel (1, 2) of the first level, weighed 3.
    value = torch.arange(26.0).view(1, 26, 1, 1)
    locations = torch.full((1, 1, 1, 2, 1, 2), 9.0)  # far outside
    locations[0, 0, 0, 0, 0] = torch.tensor([2.5 / 5, 1.5 / 4])
    weights = torch.full((1, 1, 1, 2, 1), 3.0)
    torch.testing.assert_close(attend(value, locations, weights), torch.tensor([[[3 * 7.0]]]))


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_float32_rounded(dtype):
    half = [t.detach().to(dtype).requires_grad_() for t in random_case()]
    single = [t.detach().float().requires_grad_() for t in half]
    out, expected = attend(*half), attend(*single)
    assert out.dtype == dtype
    assert torch.equal(out, expected.to(dtype))
    grads = torch.autograd.grad(out.sum(), half)
    for actual, reference in zip(grads, torch.autograd.grad(expected.sum(), single), strict=True):
        assert torch.equal(actual, reference.to(dtype))
