"""Distillation of the queries of DETR-type detectors."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from mmengine.structures import InstanceData
from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative, check_positive_int
from mmkd.functional.soft_focal import soft_focal
from mmkd.registry import MODELS, TASK_UTILS

# Costs of matching, and weights of the loss, as DINO has them.
COSTS = (
    dict(type='mmdet.FocalLossCost', weight=2.0),
    dict(type='mmdet.BBoxL1Cost', weight=5.0, box_format='xywh'),
    dict(type='mmdet.IoUCost', iou_mode='giou', weight=2.0),
)
L1_WEIGHT, GIOU_WEIGHT = 5.0, 2.0


class Queries(NamedTuple):
    """Queries of one image: class logits (Q, K) and boxes (Q, 4) as center and size in [0, 1]."""

    logits: Tensor
    boxes: Tensor


@MODELS.register_module()
class MatchedQueriesLoss(nn.Module):
    """The student's queries follow the teacher's confident predictions, matched one to one.

    Queries have no order, so query 5 of one network says nothing about query 5 of another. For each
    image and decoder layer of the student, Hungarian matching pairs its queries with the confident
    predictions of the teacher's last layer, at the costs that DINO matches the ground truth with.
    Matched queries then learn class scores (:func:`mmkd.functional.soft_focal`) and boxes (L1 and
    GIoU, weighted by the teacher's score). The idea is that of DETRDistill: Chang et al., ICCV
    2023, https://arxiv.org/abs/2211.10156.

    Both networks need sigmoid class scores, as DINO and Deformable DETR have, and the same classes.
    Their numbers of queries and decoder layers may differ. Record the method ``forward`` of their
    heads, because MMDetection does not call the teacher's head as a module, and give the teacher
    ``mode='tensor'``.

    Args:
        num_queries: Number of the student's queries without those for denoising, which stand first.
            Default: the student's own number.
        top_k: Largest number of the teacher's predictions for each image. Default: 100.
        min_score: Smallest class score of a prediction. Default: 0.1.
        loss_weight: Factor of the mean over the student's decoder layers.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> head = 'mmdet.models.dense_heads.deformable_detr_head.DeformableDETRHead'
        >>> heads = dict(type='MethodOutputs', source=f'{head}.forward')
        >>> distiller = dict(
        ...     losses=dict(queries=dict(type='mmkd.MatchedQueriesLoss', on=heads))
        ... )
    """

    needs_equal_shapes = False

    def __init__(
        self,
        num_queries: int | None = None,
        top_k: int = 100,
        min_score: float = 0.1,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__()
        if num_queries is not None:
            check_positive_int('num_queries', num_queries)
        check_positive_int('top_k', top_k)
        if not 0 <= min_score < 1:
            raise ValueError(f'min_score: expected a score in [0, 1), got {min_score!r}')
        check_non_negative('loss_weight', loss_weight)
        self.num_queries, self.top_k, self.min_score = num_queries, top_k, min_score
        self.loss_weight = loss_weight
        self._assigner = TASK_UTILS.build(
            dict(type='mmdet.HungarianAssigner', match_costs=[dict(cost) for cost in COSTS])
        )

    def forward(self, student: Sequence[Tensor], teacher: Sequence[Tensor]) -> Tensor:
        """Loss of the matched queries.

        Args:
            student: Class logits (L, B, Q, K) and boxes (L, B, Q, 4), as center and size in [0, 1],
                of each decoder layer.
            teacher: The same, with its own numbers of layers and queries.

        Returns:
            A scalar.

        Raises:
            ValueError: If an argument is not of that form, or the classes differ.
        """
        logits, boxes = _outputs('student', student)
        targets = [self._confident(*image) for image in self._last(*_outputs('teacher', teacher))]
        if targets and targets[0].logits.shape[-1] != logits.shape[-1]:
            raise ValueError(
                f"teacher: expected the student's {logits.shape[-1]} classes, got "
                f'{targets[0].logits.shape[-1]}'
            )
        count = self.num_queries or logits.shape[2]
        losses = [
            self._layer_loss([*map(Queries, *layer)], targets)
            for layer in zip(logits[:, :, -count:], boxes[:, :, -count:], strict=True)
        ]
        return self.loss_weight * torch.stack(losses).mean()

    @staticmethod
    def _last(logits: Tensor, boxes: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Queries of the last layer, image by image."""
        return [*zip(logits[-1].detach(), boxes[-1].detach(), strict=True)]

    def _confident(self, logits: Tensor, boxes: Tensor) -> Queries:
        scores = logits.float().sigmoid().amax(-1)
        best = scores.topk(min(self.top_k, len(scores)))
        kept = best.indices[best.values >= self.min_score]
        return Queries(logits[kept].float(), boxes[kept].float())

    def _layer_loss(self, students: list[Queries], teachers: list[Queries]) -> Tensor:
        matched = [
            Queries(*(part[index].float() for part in own))
            for own, index in zip(students, map(self._match, students, teachers), strict=True)
        ]
        student, teacher = (
            Queries(*map(torch.cat, zip(*images, strict=True))) for images in (matched, teachers)
        )
        scores = teacher.logits.sigmoid().amax(-1)
        distance = L1_WEIGHT * (student.boxes - teacher.boxes).abs().sum(-1)
        distance = distance + GIOU_WEIGHT * (1 - _giou(student.boxes, teacher.boxes))
        box = (scores * distance).sum() / scores.sum().clamp(min=1.0)
        return soft_focal(student.logits, teacher.logits) + box

    @torch.no_grad()
    def _match(self, student: Queries, teacher: Queries) -> Tensor:
        """Index of the student's query for each prediction of the teacher."""
        if len(teacher.logits) > len(student.logits):
            raise ValueError(
                f'top_k: expected at most as many predictions as the student has queries, '
                f'{len(student.logits)}, got {len(teacher.logits)}; lower top_k'
            )
        assigned = self._assigner.assign(
            InstanceData(scores=student.logits.float(), bboxes=_corners(student.boxes.float())),
            InstanceData(labels=teacher.logits.argmax(-1), bboxes=_corners(teacher.boxes)),
            dict(img_shape=(1, 1)),
        ).gt_inds
        queries = assigned.nonzero()[:, 0]
        return queries[assigned[queries].argsort()]


def _outputs(name: str, value: Any) -> tuple[Tensor, Tensor]:
    """Class logits and boxes of all layers."""
    parts = value if isinstance(value, tuple | list) else ()
    shapes = [tuple(part.shape) for part in parts if isinstance(part, Tensor)]
    if len(shapes) < 2 or len(shapes[0]) != 4 or shapes[1] != (*shapes[0][:3], 4):
        raise ValueError(
            f'{name}: expected class logits (L, B, Q, K) and boxes (L, B, Q, 4), got '
            f'{shapes or type(value).__name__}; record the forward method of a DETR-type head'
        )
    return parts[0], parts[1]


def _corners(boxes: Tensor) -> Tensor:
    center, size = boxes[..., :2], boxes[..., 2:]
    return torch.cat([center - size / 2, center + size / 2], -1)


def _giou(first: Tensor, second: Tensor) -> Tensor:
    from mmdet.structures.bbox import bbox_overlaps

    return bbox_overlaps(_corners(first), _corners(second), mode='giou', is_aligned=True)
