"""Class logits of a detector for the true objects of an image."""

from collections.abc import Sequence
from typing import Any, Optional

import torch
from mmdet.models.detectors import SingleStageDetector
from mmdet.models.detectors.base_detr import DetectionTransformer
from mmdet.models.roi_heads import CascadeRoIHead, StandardRoIHead
from torch import Tensor, nn


class ObjectLogits:
    """Class logits at true boxes.

    A one-stage detector answers by the location in the box, over all levels, whose highest class
    logit is largest. A two-stage detector classifies the true box itself; a cascade by its last
    stage. Logits of the background are left out.

    Args:
        model: The detector.
        head: The head that classifies.
        stage: Stage of a cascade; None for another detector.
    """

    def __init__(self, model: Any, head: Any, stage: int | None) -> None:
        self.model, self.head, self.stage = model, head, stage
        self.classes = int(head.num_classes)

    @classmethod
    def of(cls, model: nn.Module) -> Optional['ObjectLogits']:
        """Return them, or None if this kind of detector has none for a box."""
        roi_head: Any = getattr(model, 'roi_head', None)
        if roi_head is not None:
            forward = type(roi_head)._bbox_forward
            if forward is CascadeRoIHead._bbox_forward:
                return cls(model, roi_head.bbox_head[-1], len(roi_head.bbox_head) - 1)
            if forward is StandardRoIHead._bbox_forward:
                return cls(model, roi_head.bbox_head, None)
            return None
        head: Any = getattr(model, 'bbox_head', None)
        one_stage = isinstance(model, SingleStageDetector)
        if not one_stage or isinstance(model, DetectionTransformer):
            return None
        return cls(model, head, None) if hasattr(head, 'cls_out_channels') else None

    @property
    def sigmoid(self) -> bool:
        """Whether the head scores each class on its own."""
        loss = getattr(self.head, 'loss_cls', None)
        return bool(getattr(self.head, 'use_sigmoid_cls', getattr(loss, 'use_sigmoid', False)))

    def __call__(self, pyramid: Sequence[Tensor], boxes: Tensor) -> Tensor:
        """Logits (N, C).

        Args:
            pyramid: What the head reads.
            boxes: Image index and corners in pixels of the input. Shape (N, 5).
        """
        roi_head: Any = getattr(self.model, 'roi_head', None)
        if roi_head is None:
            scores = self.head(pyramid)[0]
            return best_in_boxes(scores, boxes, self._strides(), self.head.cls_out_channels)[
                :, : self.classes
            ]
        stage = () if self.stage is None else (self.stage,)
        return roi_head._bbox_forward(*stage, pyramid, boxes)['cls_score'][:, : self.classes]

    def _strides(self) -> list[tuple[int, int]]:
        prior = getattr(self.head, 'prior_generator', None)
        strides = getattr(prior, 'strides', None) or self.head.strides
        pairs = [each if isinstance(each, Sequence) else (each, each) for each in strides]
        return [(int(each[0]), int(each[1])) for each in pairs]


def best_in_boxes(
    levels: Sequence[Tensor], boxes: Tensor, strides: Sequence[tuple[int, int]], channels: int
) -> Tensor:
    """For each box, the logits of its most confident location.

    Args:
        levels: Logits of each level, (B, A C, H, W) for A anchors a cell.
        boxes: Image index and corners in pixels. Shape (N, 5).
        strides: Pixels per cell of each level, in columns and rows.
        channels: C.

    Returns:
        Shape (N, C). A location belongs to the box if the center of its cell is inside, or if it is
        the cell with the center of the box.
    """
    values, inside = [], []
    image, corners = boxes[:, 0].long(), boxes[:, 1:]
    middle = (corners[:, :2] + corners[:, 2:]) / 2
    for level, (across, down) in zip(levels, strides, strict=True):
        height, width = level.shape[-2:]
        # (B, H, W, A, C): a cell's anchors follow one another.
        rows = level.unflatten(1, (-1, channels)).permute(0, 3, 4, 1, 2)
        anchors = rows.shape[3]
        values.append(rows.flatten(1, 3).float())
        y, x = torch.meshgrid(
            torch.arange(height, device=boxes.device),
            torch.arange(width, device=boxes.device),
            indexing='ij',
        )
        x, y = x.flatten(), y.flatten()
        cells = torch.stack([(x + 0.5) * across, (y + 0.5) * down], 1)
        within = (cells > corners[:, None, :2]) & (cells < corners[:, None, 2:])
        at_x = (middle[:, :1] / across).long().clamp(0, width - 1)
        at_y = (middle[:, 1:] / down).long().clamp(0, height - 1)
        chosen = within.all(-1) | ((x == at_x) & (y == at_y))
        inside.append(chosen.repeat_interleave(anchors, 1))
    logits = torch.cat(values, 1)
    best = logits.amax(-1)[image].masked_fill(~torch.cat(inside, 1), -torch.inf).argmax(1)
    return logits[image, best]
