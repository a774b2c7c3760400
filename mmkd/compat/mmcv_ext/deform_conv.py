"""Deformable convolution, v1 (Dai et al. 2017, Eq. 2) and v2 (Zhu et al. 2019, Eq. 1).

mmcv and torchvision have the same order of offsets: ``y, x`` for each kernel point of each
deformable group. The functions ignore the buffers of mmcv's kernels (``columns``, ``ones``).

DyHead gives v2 the offsets of a larger map than its output. mmcv's kernel then reads the first
numbers of each image's memory, as if they had the output's size. So does the stand-in, because
published weights were trained that way.
"""

from collections.abc import Sequence

from torch import Tensor
from torch.nn import functional as F

from mmkd.compat.mmcv_ext._kernels import torchvision_kernels, widen

# mmcv's names of stride, padding and dilation (each height, width), groups and deformable groups
_V1 = ('dH', 'dW', 'padH', 'padW', 'dilationH', 'dilationW', 'group', 'deformable_group')
_V2 = (
    *('stride_h', 'stride_w', 'pad_h', 'pad_w', 'dilation_h', 'dilation_w'),
    *('group', 'deformable_group'),
)


def deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    output: Tensor,
    columns: Tensor,
    ones: Tensor,
    **geometry: int,
) -> None:
    """Deformable convolution v1.

    Args:
        input: (B, C, H, W).
        weight: (O, C / groups, kH, kW).
        offset: (B, 2 * deformable groups * kH * kW, H', W') in feature pixels.
        output: (B, O, H', W'), written in place.
        columns: Unused buffer.
        ones: Unused buffer.
        **geometry: ``kW, kH, dW, dH, padW, padH, dilationW, dilationH, group,
            deformable_group, im2col_step``; ``d`` is the stride.
    """
    output.copy_(_forward(input, weight, offset, None, None, [geometry[key] for key in _V1]))


def deform_conv_backward_input(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_input: Tensor,
    grad_offset: Tensor,
    weight: Tensor,
    columns: Tensor,
    **geometry: int,
) -> None:
    """Write the gradients of v1 with respect to input and offset in place.

    Arguments are those of :func:`deform_conv_forward`.
    """
    grads = _backward(grad_output, input, weight, offset, None, [geometry[key] for key in _V1])
    grad_input.copy_(grads[0])
    grad_offset.copy_(grads[2])


def deform_conv_backward_parameters(
    input: Tensor,
    offset: Tensor,
    grad_output: Tensor,
    grad_weight: Tensor,
    columns: Tensor,
    ones: Tensor,
    *,
    scale: float,
    **geometry: int,
) -> None:
    """Add ``scale`` times the gradient of v1 with respect to the weight to ``grad_weight``.

    Other arguments are those of :func:`deform_conv_forward`.
    """
    # mmcv does not pass the weight. Its gradient does not depend on its value.
    grads = _backward(grad_output, input, grad_weight, offset, None, [geometry[key] for key in _V1])
    grad_weight.add_(grads[1], alpha=scale)


def modulated_deform_conv_forward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    output: Tensor,
    columns: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Modulated deformable convolution (v2): a mask scales each sample.

    Args:
        input: (B, C, H, W).
        weight: (O, C / groups, kH, kW).
        bias: (O,), or empty without bias.
        ones: Unused buffer.
        offset: (B, 2 * deformable groups * kH * kW, H', W') in feature pixels; or larger.
        mask: (B, deformable groups * kH * kW, H', W'); or larger.
        output: (B, O, H', W'), written in place.
        columns: Unused buffer.
        with_bias: Whether to add ``bias``.
        **geometry: ``kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h,
            dilation_w, group, deformable_group``.
    """
    added = bias if with_bias else None
    offset, mask = (_as_read(x, output.shape[2:]) for x in (offset, mask))
    output.copy_(_forward(input, weight, offset, mask, added, [geometry[key] for key in _V2]))


def modulated_deform_conv_backward(
    input: Tensor,
    weight: Tensor,
    bias: Tensor,
    ones: Tensor,
    offset: Tensor,
    mask: Tensor,
    columns: Tensor,
    grad_input: Tensor,
    grad_weight: Tensor,
    grad_bias: Tensor,
    grad_offset: Tensor,
    grad_mask: Tensor,
    grad_output: Tensor,
    *,
    with_bias: bool,
    **geometry: int,
) -> None:
    """Write the gradients of v2 in place.

    Arguments are those of :func:`modulated_deform_conv_forward`.
    """
    offset, mask = (_as_read(x, grad_output.shape[2:]) for x in (offset, mask))
    grads = _backward(grad_output, input, weight, offset, mask, [geometry[key] for key in _V2])
    grad_input.copy_(grads[0])
    grad_weight.copy_(grads[1])
    for target, grad in ((grad_offset, grads[2]), (grad_mask, grads[3])):
        unread = target[0].numel() - grad[0].numel()
        target.copy_(F.pad(grad.flatten(1), (0, unread)).view_as(target))
    if with_bias:
        grad_bias.copy_(grads[4])


def _as_read(values: Tensor, size: Sequence[int]) -> Tensor:
    """The numbers that mmcv's kernel reads of (B, C, H, W) for an output of another size."""
    count = values.shape[1] * size[0] * size[1]
    if values.shape[2:] == tuple(size) or values[0].numel() < count:
        return values  # torchvision refuses too few
    return values.flatten(1)[:, :count].reshape(*values.shape[:2], *size)


def _forward(
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    bias: Tensor | None,
    geometry: Sequence[int],
) -> Tensor:
    tensors = _kernel_tensors(input, weight, offset, mask, bias)
    return torchvision_kernels().deform_conv2d(*tensors, *geometry, mask is not None)


def _backward(
    grad_output: Tensor,
    input: Tensor,
    weight: Tensor,
    offset: Tensor,
    mask: Tensor | None,
    geometry: Sequence[int],
) -> tuple[Tensor, ...]:
    """Return the gradients with respect to input, weight, offset, mask and bias."""
    tensors = _kernel_tensors(input, weight, offset, mask, None)
    grad = grad_output.to(tensors[0].dtype)
    kernel = torchvision_kernels()._deform_conv2d_backward
    return kernel(grad, *tensors, *geometry, mask is not None)


def _kernel_tensors(
    input: Tensor, weight: Tensor, offset: Tensor, mask: Tensor | None, bias: Tensor | None
) -> tuple[Tensor, ...]:
    # torchvision needs tensors even without mask and bias.
    if mask is None:
        mask = input.new_zeros(len(input), 1)
    if bias is None:
        bias = input.new_zeros(len(weight))
    return widen(input, weight, offset, mask, bias)
