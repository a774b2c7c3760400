"""What a classifier's predictions show: accuracy by class, confusions, single images."""

from dataclasses import dataclass

import numpy as np

from mmkd.reporting.predictions import Classifications


@dataclass(frozen=True, eq=False)
class ClassificationScores:
    """Scores of a classifier's predictions.

    Attributes:
        accuracy: Top-1 accuracy in percent.
        by_class: Accuracy in percent on the images of each class (its recall); None for a class
            without images. K values.
        precision: Percent of the images given to each class that belong to it; None for a class
            that is never given. K values.
        confusion: Images by true class (rows) and predicted class (columns). Shape (K, K).
        is_right: Whether each image is right. Shape (N,).
    """

    accuracy: float
    by_class: list[float | None]
    precision: list[float | None]
    confusion: np.ndarray
    is_right: np.ndarray

    def quality(self) -> np.ndarray:
        """100 for an image that is right, else 0."""
        return 100.0 * self.is_right


def score_classifications(found: Classifications) -> ClassificationScores:
    """Score the predictions of a classifier."""
    count = len(found.classes)
    table = np.zeros((count, count), int)
    np.add.at(table, (found.truth, found.answers), 1)
    right = found.truth == found.answers
    return ClassificationScores(
        accuracy=100 * float(right.mean()),
        by_class=_shares(table.diagonal(), table.sum(1)),
        precision=_shares(table.diagonal(), table.sum(0)),
        confusion=table,
        is_right=right,
    )


def _shares(parts: np.ndarray, totals: np.ndarray) -> list[float | None]:
    pairs = zip(parts, totals, strict=True)
    return [100 * float(part / total) if total else None for part, total in pairs]
