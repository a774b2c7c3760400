"""What the dense heads of MMDetection predict, as tensors of a fixed size.

The heads' own code filters by boolean masks and image by image, which no exporter traces. Here
absent boxes have a score of 0 or less instead.
"""

from collections.abc import Sequence
from typing import Any

import torch
from mmdet.models.dense_heads import GFLHead, RPNHead, YOLOXHead
from mmdet.models.dense_heads.base_dense_head import BaseDenseHead
from torch import Tensor

Candidates = tuple[Tensor, Tensor, Tensor]
_KNOWN = (BaseDenseHead, GFLHead, RPNHead)


def is_known(head: Any) -> bool:
    """Whether the head's predictions are made by code that this module follows."""
    if isinstance(head, YOLOXHead):
        return type(head).predict_by_feat is YOLOXHead.predict_by_feat
    if not isinstance(head, BaseDenseHead) or not hasattr(head, 'prior_generator'):
        return False
    single = type(head)._predict_by_feat_single
    return (
        single in [known._predict_by_feat_single for known in _KNOWN]
        and type(head).predict_by_feat is BaseDenseHead.predict_by_feat
        and not getattr(head.loss_cls, 'custom_cls_channels', False)
    )


def candidates(head: Any, outputs: Sequence[Any], size: tuple[int, int]) -> Candidates:
    """Return boxes (B, N, 4), scores (B, N) and labels (B, N) before suppression.

    Args:
        head: A head that :func:`is_known`.
        outputs: What its ``forward`` returns: maps of scores, of boxes and perhaps of factors.
        size: Height and width of the images.
    """
    if isinstance(head, YOLOXHead):
        return _yolox(head, outputs)
    scores, boxes, *factors = outputs
    factors = factors[0] if factors and factors[0] is not None else [None] * len(scores)
    priors = head.prior_generator.grid_priors(
        [level.shape[-2:] for level in scores], dtype=scores[0].dtype, device=scores[0].device
    )
    levels = [
        _level(head, index, *maps)
        for index, maps in enumerate(zip(scores, boxes, factors, priors, strict=True))
    ]
    if isinstance(head, RPNHead):  # suppresses within a level
        levels = [
            (boxes, scores, torch.full_like(labels, index))
            for index, (boxes, scores, labels) in enumerate(levels)
        ]
    boxes, scores, labels = (torch.cat(parts, 1) for parts in zip(*levels, strict=True))
    if getattr(head.bbox_coder, 'clip_border', True):
        boxes = clip(boxes, size)
    smallest = head.test_cfg.get('min_bbox_size', -1)
    if smallest >= 0:
        sides = boxes[..., 2:] - boxes[..., :2]
        scores = torch.where((sides > smallest).all(-1), scores, -1.0)
    return boxes, scores, labels


def clip(boxes: Tensor, size: tuple[int, int]) -> Tensor:
    """Move the corners that lie outside the image of (height, width) to its border."""
    height, width = size
    x = boxes[..., 0::2].clamp(0, width)
    y = boxes[..., 1::2].clamp(0, height)
    return torch.stack([x, y], -1).flatten(-2)


def decode(coder: Any, priors: Tensor, deltas: Tensor) -> Tensor:
    """Decode deltas (..., N, 4) on priors of the same shape, without clipping."""
    flat = coder.decode(priors.reshape(-1, priors.shape[-1]), deltas.reshape(-1, 4))
    return flat.reshape(deltas.shape)


def _level(
    head: Any, index: int, scores: Tensor, boxes: Tensor, factors: Tensor | None, priors: Tensor
) -> Candidates:
    scores = _rows(scores, head.cls_out_channels)
    scores = scores.sigmoid() if head.use_sigmoid_cls else scores.softmax(-1)[..., :-1]
    channels = 4 * (head.reg_max + 1) if isinstance(head, GFLHead) else 4
    boxes = _rows(boxes, channels)
    number, classes = scores.shape[1:]
    flat = scores.flatten(1)
    if not isinstance(head, RPNHead):
        flat = torch.where(flat > head.test_cfg.get('score_thr', 0), flat, -1.0)
    limit = head.test_cfg.get('nms_pre', -1)
    flat, order = flat.topk(min(limit, number * classes) if limit > 0 else number * classes)
    rows = torch.div(order, classes, rounding_mode='floor')
    labels = order - rows * classes
    if factors is not None:
        factors = _rows(factors, 1).squeeze(-1).sigmoid().gather(1, rows)
        flat = torch.where(flat > 0, flat * factors, flat)
    boxes = boxes.gather(1, rows[..., None].expand(-1, -1, channels))
    return _boxes(head, index, boxes, priors[rows]), flat, labels


def _boxes(head: Any, index: int, boxes: Tensor, priors: Tensor) -> Tensor:
    if isinstance(head, GFLHead):
        distances = head.integral(boxes).reshape(*boxes.shape[:2], 4)
        boxes = distances * head.prior_generator.strides[index][0]
        priors = head.anchor_center(priors)
    return decode(head.bbox_coder, priors, boxes)


def _yolox(head: Any, outputs: Sequence[Any]) -> Candidates:
    scores, boxes, objectness = outputs
    priors = head.prior_generator.grid_priors(
        [level.shape[-2:] for level in scores],
        dtype=scores[0].dtype,
        device=scores[0].device,
        with_stride=True,
    )
    rows = [
        torch.cat([_rows(level, channels) for level in maps], 1)
        for maps, channels in ((scores, head.cls_out_channels), (boxes, 4), (objectness, 1))
    ]
    best, labels = rows[0].sigmoid().max(-1)
    best = best * rows[2].squeeze(-1).sigmoid()
    best = torch.where(best >= head.test_cfg.score_thr, best, -1.0)
    return head._bbox_decode(torch.cat(priors), rows[1]), best, labels


def _rows(level: Tensor, channels: int) -> Tensor:
    """(B, P * channels, H, W) -> (B, H * W * P, channels)."""
    return level.permute(0, 2, 3, 1).reshape(level.shape[0], -1, channels)
