"""Multi-scale deformable attention (Zhu et al. 2021, Deformable DETR, Eq. 3)."""

import torch
from torch import Tensor

from mmkd.compat.mmcv_ext._kernels import widen


def ms_deform_attn_forward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    *,
    im2col_step: int,
) -> Tensor:
    """Attend to bilinear samples of several feature maps.

    Args:
        value: (B, sum of H * W, heads, channels), level by level.
        value_spatial_shapes: (levels, 2) height and width of each level.
        value_level_start_index: (levels,), unused: it follows from the shapes.
        sampling_locations: (B, queries, heads, levels, points, 2) ``x, y`` in [0, 1].
        attention_weights: (B, queries, heads, levels, points).
        im2col_step: Unused.

    Returns:
        (B, queries, heads * channels) in the dtype of ``value``.
    """
    tensors = widen(value, sampling_locations, attention_weights)
    return _attend(tensors, value_spatial_shapes).to(value.dtype)


def ms_deform_attn_backward(
    value: Tensor,
    value_spatial_shapes: Tensor,
    value_level_start_index: Tensor,
    sampling_locations: Tensor,
    attention_weights: Tensor,
    grad_output: Tensor,
    grad_value: Tensor,
    grad_sampling_loc: Tensor,
    grad_attn_weight: Tensor,
    *,
    im2col_step: int,
) -> None:
    """Write the gradients with respect to value, locations and weights in place.

    The function runs the forward pass again under autograd.
    Other arguments are those of :func:`ms_deform_attn_forward`.
    """
    tensors = widen(value, sampling_locations, attention_weights)
    leaves = tuple(t.detach().requires_grad_() for t in tensors)
    with torch.enable_grad():
        output = _attend(leaves, value_spatial_shapes)
    grads = torch.autograd.grad(output, leaves, grad_output.to(output.dtype))
    targets = (grad_value, grad_sampling_loc, grad_attn_weight)
    for target, grad in zip(targets, grads, strict=True):
        target.copy_(grad)


def _attend(tensors: tuple[Tensor, ...], shapes: Tensor) -> Tensor:
    # mmcv's own CPU path with grid_sample. The import is late: mmcv.ops imports this package.
    from mmcv.ops.multi_scale_deform_attn import multi_scale_deformable_attn_pytorch

    value, locations, weights = tensors
    return multi_scale_deformable_attn_pytorch(value, shapes.tolist(), locations, weights)
