"""Non-maximum suppression: ``nms``, ``softnms`` and ``nms_match``."""

import torch
from torch import Tensor

from mmkd.compat.mmcv_ext._kernels import torchvision_kernels, widen


def nms(boxes: Tensor, scores: Tensor, *, iou_threshold: float, offset: int) -> Tensor:
    """Greedy NMS: drop each box whose IoU with a better kept one exceeds the threshold.

    Args:
        boxes: (N, 4) corners ``x1, y1, x2, y2``.
        scores: (N,).
        iou_threshold: In [0, 1].
        offset: 1 if corners are inclusive pixels (width ``x2 - x1 + 1``), else 0.

    Returns:
        (K,) indices of the kept boxes, best first.
    """
    boxes, scores = widen(boxes, scores)
    return torchvision_kernels().nms(_exclusive(boxes, offset), scores, iou_threshold)


def softnms(
    boxes: Tensor,
    scores: Tensor,
    dets: Tensor,
    *,
    iou_threshold: float,
    sigma: float,
    min_score: float,
    method: int,
    offset: int,
) -> Tensor:
    """Soft-NMS (Bodla et al. 2017, Fig. 2): decay the scores of overlapping boxes.

    Each round takes the best remaining box, decays the others, and drops those below
    ``min_score``. Boxes with equal scores are taken in input order.

    Args:
        boxes: (N, 4) corners ``x1, y1, x2, y2``.
        scores: (N,).
        dets: (N, 5) output. Rows 0 to K are the kept boxes with their decayed scores.
        iou_threshold: Methods 0 and 1 decay boxes from this IoU on.
        sigma: Width of the Gaussian of method 2.
        min_score: Boxes below it are dropped.
        method: 0 naive (score becomes 0), 1 linear (times ``1 - IoU``), 2 Gaussian
            (times ``exp(-IoU ** 2 / sigma)``).
        offset: 1 if corners are inclusive pixels, else 0.

    Returns:
        (K,) indices of the kept boxes, in the order of ``dets``.
    """
    boxes, scores = widen(boxes, scores)
    corners = _exclusive(boxes, offset)
    remaining = torch.arange(len(boxes), device=boxes.device)
    kept: list[Tensor] = []
    kept_scores: list[Tensor] = []
    while len(remaining):
        best = scores.argmax()
        kept.append(remaining[best])
        kept_scores.append(scores[best])
        iou = _iou(corners[remaining[best]], corners[remaining])
        scores = scores * _decay(iou, iou_threshold, sigma, method)
        stays = scores >= min_score
        stays[best] = False
        remaining, scores = remaining[stays], scores[stays]
    if not kept:
        return remaining
    inds = torch.stack(kept)
    dets[: len(inds), :4] = boxes[inds]
    dets[: len(inds), 4] = torch.stack(kept_scores)
    return inds


def nms_match(dets: Tensor, *, iou_threshold: float) -> list[list[int]]:
    """Group each box kept by NMS with the boxes it suppresses (IoU at least the threshold).

    Args:
        dets: (N, 5) corners and score.
        iou_threshold: In [0, 1].

    Returns:
        One list of indices a kept box: first itself, then the suppressed boxes by score.
    """
    (dets,) = widen(dets)
    boxes, scores = dets[:, :4], dets[:, 4]
    remaining = scores.argsort(descending=True, stable=True)
    groups: list[list[int]] = []
    while len(remaining):
        best, rest = remaining[0], remaining[1:]
        matched = _iou(boxes[best], boxes[rest]) >= iou_threshold
        groups.append([int(best), *rest[matched].tolist()])
        remaining = rest[~matched]
    return groups


def _exclusive(boxes: Tensor, offset: int) -> Tensor:
    # A shift of x2, y2 by the offset adds it to widths, heights and overlaps.
    return boxes + boxes.new_tensor([0, 0, offset, offset])


def _iou(box: Tensor, boxes: Tensor) -> Tensor:
    overlap = (torch.minimum(box[2:], boxes[:, 2:]) - torch.maximum(box[:2], boxes[:, :2])).clamp(
        min=0
    )
    inter = overlap.prod(dim=1)
    union = (box[2:] - box[:2]).prod() + (boxes[:, 2:] - boxes[:, :2]).prod(dim=1) - inter
    # Two boxes without area give 0 / 0. They do not overlap.
    return (inter / union).nan_to_num(nan=0.0)


def _decay(iou: Tensor, iou_threshold: float, sigma: float, method: int) -> Tensor:
    if method == 2:
        return torch.exp(-(iou**2) / sigma)
    decayed = 1 - iou if method == 1 else torch.zeros_like(iou)
    return torch.where(iou >= iou_threshold, decayed, 1.0)
