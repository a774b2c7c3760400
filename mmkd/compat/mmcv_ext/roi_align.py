"""RoIAlign (He et al. 2017, Mask R-CNN, Section 3) and its backward pass."""

from torch import Tensor

from mmkd.compat.mmcv_ext._kernels import torchvision_kernels, widen

_MAX = 0  # mmcv's code for pool_mode='max'


def roi_align_forward(
    input: Tensor,
    rois: Tensor,
    output: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Average bilinear samples of the feature map in each bin of each box.

    Args:
        input: (B, C, H, W).
        rois: (N, 5) ``batch index, x1, y1, x2, y2`` in image pixels.
        output: (N, C, aligned_height, aligned_width), written in place.
        argmax_y: Used by max pooling only.
        argmax_x: Used by max pooling only.
        aligned_height: Bins per column.
        aligned_width: Bins per row.
        spatial_scale: Feature pixels per image pixel.
        sampling_ratio: Samples per bin and axis; 0 takes one per feature pixel.
        pool_mode: 1 (average); 0 (maximum) is not available.
        aligned: True puts pixel centers at half-integers. False is the legacy convention, in which
            boxes also have at least one pixel per side.

    Raises:
        NotImplementedError: For max pooling.
    """
    _require_average(pool_mode)
    features, boxes = widen(input, rois)
    output.copy_(
        torchvision_kernels().roi_align(
            features, boxes, spatial_scale, aligned_height, aligned_width, sampling_ratio, aligned
        )
    )


def roi_align_backward(
    grad_output: Tensor,
    rois: Tensor,
    argmax_y: Tensor,
    argmax_x: Tensor,
    grad_input: Tensor,
    *,
    aligned_height: int,
    aligned_width: int,
    spatial_scale: float,
    sampling_ratio: int,
    pool_mode: int,
    aligned: bool,
) -> None:
    """Write the gradient with respect to the feature map into ``grad_input``.

    Arguments are those of :func:`roi_align_forward`.
    """
    _require_average(pool_mode)
    grad, boxes = widen(grad_output, rois)
    grad_input.copy_(
        torchvision_kernels()._roi_align_backward(
            grad,
            boxes,
            spatial_scale,
            aligned_height,
            aligned_width,
            *grad_input.shape,
            sampling_ratio,
            aligned,
        )
    )


def _require_average(pool_mode: int) -> None:
    if pool_mode == _MAX:
        raise NotImplementedError(
            "pool_mode: expected 'avg', got 'max'; "
            'max pooling needs a compiled mmcv 2.1 (pip install mmcv==2.1.0)'
        )
