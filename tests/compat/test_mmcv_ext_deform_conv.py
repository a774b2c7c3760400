"""DeformConv2d (v1) and ModulatedDeformConv2d (v2) of mmcv.ops, against plain PyTorch."""

import mmkd  # noqa: F401  # isort: skip  (makes mmcv.ops importable)
import pytest
import torch
import torch.nn.functional as F
from mmcv import ops
from torch import Tensor

# stride, padding, dilation, groups, deform_groups; (height, width) pairs
GEOMETRIES = [
    ((1, 1), (1, 1), (1, 1), 1, 1),
    ((2, 1), (0, 2), (1, 2), 1, 1),
    ((1, 2), (2, 1), (2, 1), 2, 1),
    ((1, 1), (1, 1), (1, 1), 2, 4),
    ((2, 2), (1, 0), (1, 1), 4, 2),
]
BATCH, CHANNELS, OUT, KERNEL, SIZE = 2, 4, 8, (3, 2), (6, 7)


def output_size(stride, padding, dilation) -> list[int]:
    return [
        (SIZE[d] + 2 * padding[d] - dilation[d] * (KERNEL[d] - 1) - 1) // stride[d] + 1
        for d in range(2)
    ]


def bilinear(x: Tensor, ys: Tensor, xs: Tensor) -> Tensor:
    """Sample (B, C, H, W) at (B, P) positions, zero outside; differentiable in all three."""
    height, width = x.shape[2:]
    total = x.new_zeros(*x.shape[:2], ys.size(1))
    for dy in (0, 1):
        for dx in (0, 1):
            row, col = ys.detach().floor() + dy, xs.detach().floor() + dx
            inside = (row >= 0) & (row < height) & (col >= 0) & (col < width)
            index = (row.clamp(0, height - 1) * width + col.clamp(0, width - 1)).long()
            pixel = x.flatten(2).gather(2, index[:, None].expand(-1, x.size(1), -1))
            share = (1 - (ys - row).abs()) * (1 - (xs - col).abs()) * inside
            total = total + share[:, None] * pixel
    return total


def plain_deform_conv(x, offset, mask, weight, stride, padding, dilation, groups, deform_groups):
    batch, _, out_h, out_w = offset.shape
    kh, kw = weight.shape[2:]
    offset = offset.view(batch, deform_groups, kh, kw, 2, out_h, out_w)
    mask = mask.view(batch, deform_groups, kh, kw, out_h, out_w)
    rows = torch.arange(out_h, dtype=x.dtype)[:, None] * stride[0] - padding[0]
    cols = torch.arange(out_w, dtype=x.dtype) * stride[1] - padding[1]
    columns = []
    for g, part in enumerate(x.chunk(deform_groups, dim=1)):
        taps = []
        for i in range(kh):
            for j in range(kw):
                dy, dx = offset[:, g, i, j].unbind(1)
                ys = (rows + i * dilation[0] + dy).flatten(1)
                xs = (cols + j * dilation[1] + dx).flatten(1)
                taps.append(bilinear(part, ys, xs) * mask[:, g, i, j].flatten(1)[:, None])
        columns.append(torch.stack(taps, dim=2))  # (B, C / deform_groups, kh * kw, P)
    per_group = torch.cat(columns, dim=1).chunk(groups, dim=1)
    outs = [
        torch.einsum('bckp,ock->bop', c, w.flatten(2))
        for c, w in zip(per_group, weight.chunk(groups), strict=True)
    ]
    return torch.cat(outs, dim=1).view(batch, -1, out_h, out_w)


def random_case(geometry, offset_scale: float = 1.5) -> dict[str, Tensor]:
    """Float64 leaves; the offsets reach beyond the border."""
    stride, padding, dilation, groups, deform_groups = geometry
    generator = torch.Generator().manual_seed(0)
    taps = deform_groups * KERNEL[0] * KERNEL[1]
    size = output_size(stride, padding, dilation)

    def leaf(*shape: int, scale: float = 1.0) -> Tensor:
        values = torch.randn(shape, generator=generator, dtype=torch.float64) * scale
        return values.requires_grad_()

    return {
        'x': leaf(BATCH, CHANNELS, *SIZE),
        'offset': leaf(BATCH, 2 * taps, *size, scale=offset_scale),
        'mask': leaf(BATCH, taps, *size),
        'weight': leaf(OUT, CHANNELS // groups, *KERNEL),
        'bias': leaf(OUT),
    }


def assert_same_gradients(actual: Tensor, expected: Tensor, leaves: list[Tensor]) -> None:
    torch.testing.assert_close(actual, expected, rtol=1e-10, atol=1e-11)
    upstream = torch.randn_like(expected)
    torch.testing.assert_close(
        torch.autograd.grad(actual, leaves, upstream),
        torch.autograd.grad(expected, leaves, upstream),
        rtol=1e-10,
        atol=1e-11,
    )


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_v1_equals_the_definition(geometry):
    case = random_case(geometry)
    x, offset, weight = case['x'], case['offset'], case['weight']
    ones = torch.ones_like(case['mask'])
    expected = plain_deform_conv(x, offset, ones, weight, *geometry)
    actual = ops.deform_conv2d(x, offset, weight, *geometry)
    assert_same_gradients(actual, expected, [x, offset, weight])


@pytest.mark.parametrize('geometry', GEOMETRIES)
@pytest.mark.parametrize('with_bias', [True, False])
def test_v2_equals_the_definition(geometry, with_bias):
    case = random_case(geometry)
    x, offset, mask, weight = (case[k] for k in ('x', 'offset', 'mask', 'weight'))
    leaves = [x, offset, mask, weight]
    bias = case['bias'] if with_bias else None
    expected = plain_deform_conv(x, offset, mask, weight, *geometry)
    if bias is not None:
        expected = expected + bias[:, None, None]
        leaves.append(bias)
    actual = ops.modulated_deform_conv2d(x, offset, mask, weight, bias, *geometry)
    assert_same_gradients(actual, expected, leaves)


@pytest.mark.parametrize('geometry', GEOMETRIES[::3])
def test_v2_reads_offsets_of_a_larger_map_as_mmcv_does(geometry):
    case = random_case(geometry)
    x, weight = case['x'], case['weight']
    height, width = case['mask'].shape[2:]
    offset, mask = (
        torch.randn(BATCH, case[name].shape[1], height + 3, width + 2, dtype=torch.float64)
        for name in ('offset', 'mask')
    )

    def as_mmcv_reads(values):
        """Number by number, at the addresses of mmcv's kernel."""
        memory = values.flatten(1)
        read = [
            [
                [memory[:, (channel * height + row) * width + column] for column in range(width)]
                for row in range(height)
            ]
            for channel in range(values.shape[1])
        ]
        stacked = [[torch.stack(row, -1) for row in rows] for rows in read]
        return torch.stack([torch.stack(rows, -2) for rows in stacked], 1)

    leaves = [offset.requires_grad_(), mask.requires_grad_(), x, weight]
    read = [as_mmcv_reads(values) for values in (offset, mask)]
    expected = plain_deform_conv(x, *read, weight, *geometry)
    actual = ops.modulated_deform_conv2d(x, offset, mask, weight, None, *geometry)
    assert_same_gradients(actual, expected, leaves)


def test_v2_refuses_offsets_of_a_smaller_map():
    x, weight = torch.zeros(1, 2, 6, 6), torch.zeros(2, 2, 3, 3)
    with pytest.raises(RuntimeError, match='offset'):
        ops.modulated_deform_conv2d(
            x, torch.zeros(1, 18, 3, 4), torch.zeros(1, 9, 3, 4), weight, None, 1, 1
        )


def test_dyhead_takes_a_step():
    from mmdet.models.necks import DyHead

    torch.manual_seed(0)
    neck = DyHead(16, 16, num_blocks=2, zero_init_offset=False)
    levels = [torch.randn(2, 16, 4 * k, 5 * k, requires_grad=True) for k in (4, 2, 1)]
    outputs = neck(levels)
    assert [out.shape for out in outputs] == [level.shape for level in levels]
    sum(out.square().mean() for out in outputs).backward()
    for parameter in [*levels, *neck.parameters()]:
        assert parameter.grad.isfinite().all()
    assert all(level.grad.abs().sum() > 0 for level in levels)


@pytest.mark.parametrize('geometry', GEOMETRIES)
def test_zero_offsets_are_a_plain_convolution(geometry):
    stride, padding, dilation, groups, deform_groups = geometry
    case = random_case(geometry, offset_scale=0.0)
    settings = {'stride': stride, 'padding': padding, 'dilation': dilation, 'groups': groups}
    expected = F.conv2d(case['x'], case['weight'], **settings)
    v1 = ops.DeformConv2d(CHANNELS, OUT, KERNEL, deform_groups=deform_groups, **settings)
    v1.weight = torch.nn.Parameter(case['weight'].detach())
    torch.testing.assert_close(v1(case['x'], case['offset']), expected)

    v2 = ops.ModulatedDeformConv2d(
        CHANNELS, OUT, KERNEL, deform_groups=deform_groups, bias=True, **settings
    )
    v2.weight = torch.nn.Parameter(case['weight'].detach())
    v2.bias = torch.nn.Parameter(case['bias'].detach())
    actual = v2(case['x'], case['offset'], torch.full_like(case['mask'], 0.5))
    torch.testing.assert_close(actual, 0.5 * expected + case['bias'][:, None, None])


def test_integer_offsets_shift_the_image():
    # y before x: every tap reads 1 row below and 2 columns to the right.
    x = torch.randn(1, 2, 7, 8)
    layer = ops.DeformConv2d(2, 3, 3)
    offset = torch.tensor([1.0, 2.0]).repeat(9).view(1, 18, 1, 1).expand(1, 18, 5, 6).contiguous()
    shifted = F.pad(x, (0, 2, 0, 1))[:, :, 1:, 2:]
    torch.testing.assert_close(layer(x, offset), F.conv2d(shifted, layer.weight))


def test_deformable_groups_move_their_own_channels():
    x = torch.randn(1, 2, 5, 5)
    offset = torch.zeros(1, 4, 5, 5)
    offset[:, 3] = 1  # the second group's x
    layer = ops.DeformConv2d(2, 2, 1, groups=2, deform_groups=2)
    torch.nn.init.ones_(layer.weight)
    out = layer(x, offset)
    torch.testing.assert_close(out[:, 0], x[:, 0])
    torch.testing.assert_close(out[:, 1], F.pad(x[:, 1], (0, 1))[..., 1:])


def test_frozen_offsets_and_input_still_train_the_weight():
    case = random_case(GEOMETRIES[0])
    x, offset = case['x'].detach(), case['offset'].detach()
    weight = case['weight']
    ones = torch.ones_like(case['mask'])
    expected = plain_deform_conv(x, offset, ones, weight, *GEOMETRIES[0])
    actual = ops.deform_conv2d(x, offset, weight, *GEOMETRIES[0])
    assert_same_gradients(actual, expected, [weight])


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('version', [1, 2])
def test_half_precision_is_float32_rounded(dtype, version):
    geometry = GEOMETRIES[3]
    names = ['x', 'offset', 'weight'] if version == 1 else ['x', 'offset', 'mask', 'weight', 'bias']
    op = ops.deform_conv2d if version == 1 else ops.modulated_deform_conv2d
    case = random_case(geometry)
    half = [case[k].detach().to(dtype).requires_grad_() for k in names]
    single = [t.detach().float().requires_grad_() for t in half]
    out, expected = op(*half, *geometry), op(*single, *geometry)
    assert out.dtype == dtype
    assert torch.equal(out, expected.to(dtype))
    upstream = torch.randn(out.shape, dtype=dtype)
    grads = torch.autograd.grad(out, half, upstream)
    for actual, reference in zip(
        grads, torch.autograd.grad(expected, single, upstream.float()), strict=True
    ):
        assert torch.equal(actual, reference.to(dtype))


@pytest.mark.parametrize('layer', [ops.DeformConv2dPack, ops.ModulatedDeformConv2dPack])
def test_packed_layers_start_as_plain_convolutions(layer):
    packed = layer(4, 6, 3, padding=1)
    x = torch.randn(2, 4, 5, 6)
    plain = F.conv2d(x, packed.weight, padding=1)
    # v2's mask starts at sigmoid(0).
    scale = 0.5 if isinstance(packed, ops.ModulatedDeformConv2dPack) else 1.0
    torch.testing.assert_close(packed(x), scale * plain)


def test_offset_of_the_wrong_shape_is_refused():
    with pytest.raises(RuntimeError, match='offset'):
        ops.deform_conv2d(torch.zeros(1, 2, 5, 5), torch.zeros(1, 4, 3, 3), torch.zeros(2, 2, 3, 3))
