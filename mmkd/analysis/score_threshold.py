"""The score above which a detector's boxes are worth drawing."""

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor
from torchvision.ops import box_iou

# A box finds an object if it covers it by this much, as for AP50.
_MATCH = 0.5
# Where a detector finds no object at all.
FALLBACK = 0.3


def best_threshold(images: Iterable[tuple[Tensor, Tensor, Tensor, Tensor, Tensor]]) -> float:
    """Return the score at which a detector has its best F1 over some images.

    As in COCO's evaluation, boxes take objects of their class in the order of their scores, each
    the free one that it covers most, from an IoU of 0.5.

    Args:
        images: For each image: boxes (D, 4), scores (D,) and labels (D,) of the detector, and boxes
            (G, 4) and labels (G,) of the ground truth.

    Returns:
        The lowest score to keep; 0.3 if no object is found.

    Example:
        >>> boxes = torch.tensor([[0.0, 0.0, 9.0, 9.0], [50.0, 50.0, 60.0, 60.0]])
        >>> labels = torch.zeros(2, dtype=torch.long)
        >>> scores = torch.tensor([0.06, 0.04])
        >>> round(best_threshold([(boxes, scores, labels, boxes[:1], labels[:1])]), 2)
        0.06
    """
    scores, found, objects = [torch.empty(0)], [torch.empty(0, dtype=torch.bool)], 0
    for boxes, score, labels, truth, classes in images:
        order = score.argsort(descending=True)
        scores.append(score[order])
        found.append(_matches(boxes[order], labels[order], truth, classes))
        objects += len(truth)
    return score_of_best_f1(torch.cat(scores).numpy(), torch.cat(found).numpy(), objects)


def score_of_best_f1(scores: np.ndarray, right: np.ndarray, objects: int) -> float:
    """Return the lowest score to keep for the best F1.

    Args:
        scores: Of the boxes (D,).
        right: Whether each finds an object (D,).
        objects: Number of objects.

    Returns:
        A score; 0.3 if no object is found.
    """
    order = np.argsort(-scores, kind='stable')
    true = right[order].cumsum()
    if not len(true) or true[-1] == 0:
        return FALLBACK
    f1 = 2 * true / (np.arange(1, len(true) + 1) + objects)
    return float(scores[order][f1.argmax()])


def _matches(boxes: Tensor, labels: Tensor, truth: Tensor, classes: Tensor) -> Tensor:
    """Whether each box, in the order of the scores, finds an object that no other has found."""
    overlap = box_iou(boxes, truth) * (labels[:, None] == classes)
    found = torch.zeros(len(boxes), dtype=torch.bool)
    for index in range(len(boxes) if len(truth) else 0):
        best, which = overlap[index].max(0)
        if best >= _MATCH:
            found[index] = True
            overlap[:, which] = 0
    return found
