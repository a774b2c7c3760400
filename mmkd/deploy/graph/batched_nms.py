"""Non-maximum suppression of a batch with outputs of a fixed size, for PyTorch and for ONNX."""

from typing import Any

import torch
from torch import Tensor
from torchvision.ops import nms


@torch.library.custom_op('mmkd::nms_mask', mutates_args=())
def nms_mask(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Mark the boxes that survive, image by image.

    Args:
        boxes: (B, N, 4), as x1, y1, x2, y2.
        scores: (B, N). A box with a score of 0 or less is absent.
        iou_threshold: A box that overlaps a better one by more is dropped.

    Returns:
        (B, N) of bool.
    """
    mask = torch.zeros_like(scores, dtype=torch.bool)
    for row, own_boxes, own_scores in zip(mask, boxes, scores, strict=True):
        present = (own_scores > 0).nonzero().squeeze(1)
        row[present[nms(own_boxes[present], own_scores[present], iou_threshold)]] = True
    return mask


@nms_mask.register_fake
def _(boxes: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    return torch.empty_like(scores, dtype=torch.bool)


def nms_mask_in_onnx(boxes: Any, scores: Any, iou_threshold: float) -> Any:
    """Translate :func:`nms_mask` for the exporter: ``NonMaxSuppression``, scattered into a mask."""
    from onnxscript import opset18

    op: Any = opset18  # whose types refuse what its operators give

    kept = op.NonMaxSuppression(
        boxes,
        op.Unsqueeze(scores, op.Constant(value_ints=[1])),
        op.Constant(value_ints=[2**31]),
        op.Constant(value_float=iou_threshold),
        op.Constant(value_float=0.0),
    )
    indices = op.Gather(kept, op.Constant(value_ints=[0, 2]), axis=1)  # image and box
    count = op.Shape(kept, start=0, end=1)
    ones = op.Expand(op.Constant(value_float=1.0), count)
    zeros = op.Expand(op.Constant(value_float=0.0), op.Shape(scores))
    return op.Cast(op.ScatterND(zeros, indices, ones), to=9)  # 9: bool


def keep_best(
    boxes: Tensor, scores: Tensor, labels: Tensor, iou_threshold: float, limit: int
) -> tuple[Tensor, Tensor, Tensor]:
    """Suppress within each class, and return the ``limit`` best boxes of each image.

    Args:
        boxes: (B, N, 4).
        scores: (B, N). A box with a score of 0 or less is absent.
        labels: (B, N), the class of each box.
        iou_threshold: Of the suppression.
        limit: Number of boxes per image. The rows that no box fills have score 0 and label -1.

    Returns:
        Boxes (B, limit, 4), scores (B, limit), descending, and labels (B, limit).
    """
    boxes = torch.where((scores > 0)[..., None], boxes, 0.0)  # absent ones may be huge
    # Classes apart from one another, as mmcv's `batched_nms` puts them.
    apart = boxes + (labels * (boxes.amax((1, 2), keepdim=True)[..., 0] + 1))[..., None]
    scores = torch.where(nms_mask(apart, scores, iou_threshold), scores, 0.0)
    scores, order = scores.topk(min(limit, scores.shape[1]))
    boxes = boxes.gather(1, order[..., None].expand(-1, -1, 4))
    labels = torch.where(scores > 0, labels.gather(1, order), -1)
    return boxes * (scores > 0)[..., None], scores.clamp(min=0), labels
