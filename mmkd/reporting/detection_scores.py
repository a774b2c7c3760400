"""What a detector's predictions show: AP by class, precision-recall, confusions, single images."""

import contextlib
import io
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torchvision.ops import box_iou

from mmkd.analysis.score_threshold import score_of_best_f1
from mmkd.reporting.predictions import Detections

# A box finds an object if it covers it by this much, as for AP50.
MATCH = 0.5
RECALLS = np.linspace(0, 1, 101)


@dataclass(frozen=True, eq=False)
class DetectionScores:
    """Scores of a detector's predictions.

    Attributes:
        ap: AP in percent.
        by_class: AP in percent of each class; None for a class without objects. K values.
        precision: Precision in percent at recall 0, 0.01, ..., 1 for an IoU of 0.5, the mean over
            the classes with objects. 101 values.
        threshold: The score at which F1 is best over all images.
        confusion: Boxes of at least that score by true class (rows) and predicted class (columns).
            The last row is the background: boxes without an object. The last column counts objects
            that were missed. Shape (K + 1, K + 1).
        right: Number of correct boxes of each image, at the threshold. Shape (N,).
        wrong: Number of boxes without an object of their class. Shape (N,).
        missed: Number of objects that no box of their class found. Shape (N,).
        is_right: Whether each predicted box is correct, at any score. Shape (P,).
        is_found: Whether each object is found, at the threshold. Shape (T,).
    """

    ap: float
    by_class: list[float | None]
    precision: list[float]
    threshold: float
    confusion: np.ndarray
    right: np.ndarray
    wrong: np.ndarray
    missed: np.ndarray
    is_right: np.ndarray
    is_found: np.ndarray

    def quality(self) -> np.ndarray:
        """F1 of each image at the threshold, in percent; 100 with nothing to find and no box."""
        errors = self.wrong + self.missed
        total = 2 * self.right + errors
        return np.where(total == 0, 100.0, 200.0 * self.right / np.maximum(total, 1))


def score_detections(found: Detections) -> DetectionScores:
    """Score the predictions with COCO's evaluation.

    A box is correct if COCO's evaluation matches it with an object of its class at an IoU of 0.5.
    """
    evaluation = _coco_evaluation(found)
    precision = evaluation.eval['precision'][:, :, :, 0, -1]  # IoU, recall, class
    has_objects = (precision > -1).all((0, 1))
    by_class = [
        100 * float(precision[:, :, k].mean()) if has_objects[k] else None
        for k in range(len(found.classes))
    ]
    curve = (
        precision[0][:, has_objects].mean(1) * 100 if has_objects.any() else np.zeros(len(RECALLS))
    )
    values = [value for value in by_class if value is not None]
    match, ignored = _matches(evaluation, found)
    objects = int((~found.truth_ignored).sum())
    threshold = score_of_best_f1(found.scores[~ignored], match[~ignored] >= 0, objects)
    kept = (found.scores >= threshold) & ~ignored
    is_found = np.zeros(len(found.truth), bool)
    is_found[match[kept & (match >= 0)]] = True
    counted = is_found | ~found.truth_ignored
    images, true_images = (
        np.repeat(np.arange(len(found.counts)), n) for n in (found.counts, found.truth_counts)
    )

    def per_image(of: np.ndarray, chosen: np.ndarray) -> np.ndarray:
        return np.bincount(of[chosen], minlength=len(found.counts))

    return DetectionScores(
        ap=float(np.mean(values)) if values else 0.0,
        by_class=by_class,
        precision=[round(float(value), 2) for value in curve],
        threshold=threshold,
        confusion=_confusion(found, match, kept, is_found),
        right=per_image(images, kept & (match >= 0)),
        wrong=per_image(images, kept & (match < 0)),
        missed=per_image(true_images, counted & ~is_found),
        is_right=match >= 0,
        is_found=is_found,
    )


def _coco_evaluation(found: Detections) -> Any:
    """COCOeval of the predictions; ids count from 1, since COCO takes 0 for no match."""
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    sizes = (found.truth_boxes[:, 2:] - found.truth_boxes[:, :2]).tolist()
    images = np.repeat(np.arange(len(found.counts)), found.truth_counts)
    truth = COCO()
    truth.dataset = dict(
        images=[dict(id=index) for index in range(len(found.counts))],
        categories=[dict(id=label) for label in range(len(found.classes))],
        annotations=[
            dict(
                id=index + 1,
                image_id=int(images[index]),
                category_id=int(found.truth[index]),
                bbox=[*box[:2].tolist(), *sizes[index]],
                area=sizes[index][0] * sizes[index][1],
                iscrowd=int(found.truth_ignored[index]),
            )
            for index, box in enumerate(found.truth_boxes)
        ],
    )
    images = np.repeat(np.arange(len(found.counts)), found.counts)
    boxes = found.boxes.astype(float)
    boxes[:, 2:] -= boxes[:, :2]
    rows = np.concatenate(
        [images[:, None], boxes, found.scores[:, None], found.answers[:, None]], axis=1
    )
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        predicted = truth.loadRes(rows) if len(rows) else _without_boxes(truth.dataset)
        evaluation = COCOeval(truth, predicted, 'bbox')
        evaluation.params.areaRng = evaluation.params.areaRng[:1]
        evaluation.params.areaRngLbl = evaluation.params.areaRngLbl[:1]
        evaluation.evaluate()
        evaluation.accumulate()
    return evaluation


def _without_boxes(dataset: Mapping[str, Any]) -> Any:
    from pycocotools.coco import COCO

    empty = COCO()
    empty.dataset = {**dataset, 'annotations': []}
    empty.createIndex()
    return empty


def _matches(evaluation: Any, found: Detections) -> tuple[np.ndarray, np.ndarray]:
    """The object that each box finds at an IoU of 0.5, -1 for none; and which boxes do not count.

    Boxes beyond COCO's 100 of a class and image do not count, nor do those on a crowd.
    """
    match = np.full(len(found.answers), -1)
    ignored = np.ones(len(found.answers), bool)
    for image in filter(None, evaluation.evalImgs):
        boxes = np.array(image['dtIds'], int) - 1
        objects = image['dtMatches'][0].astype(int) - 1
        skipped = image['dtIgnore'][0].astype(bool)
        match[boxes] = np.where(skipped, -1, objects)
        ignored[boxes] = skipped
    return match, ignored


def _confusion(
    found: Detections, match: np.ndarray, kept: np.ndarray, is_found: np.ndarray
) -> np.ndarray:
    """Count boxes by true and predicted class.

    Correct boxes come first. The others, the best scores first, take the free object that they
    cover most, of any class.
    """
    background = len(found.classes)
    table = np.zeros((background + 1, background + 1), int)
    right = kept & (match >= 0)
    np.add.at(table, (found.truth[match[right]], found.answers[right]), 1)
    for index in range(len(found.counts)):
        objects, boxes = found.of_image(index)
        free = [i for i in range(objects.start, objects.stop) if not is_found[i]]
        others = [i for i in range(boxes.start, boxes.stop) if kept[i] and match[i] < 0]
        others.sort(key=lambda i: -found.scores[i])
        overlap = box_iou(
            torch.from_numpy(found.boxes[others]), torch.from_numpy(found.truth_boxes[free])
        ).numpy()
        left = {*range(len(free))}
        for row, box in enumerate(others):
            best = max(left, key=lambda column: overlap[row, column], default=None)
            if best is None or overlap[row, best] < MATCH:
                table[background, found.answers[box]] += 1
            else:
                left.remove(best)
                if not found.truth_ignored[free[best]]:
                    table[found.truth[free[best]], found.answers[box]] += 1
        for column in left:
            if not found.truth_ignored[free[column]]:
                table[found.truth[free[column]], background] += 1
    return table
