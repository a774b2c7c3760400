"""What the predictions of all runs show: classes, confusions, precision-recall, single images."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from mmkd.reporting.chart_lines import Chart, Line, chart_of
from mmkd.reporting.classification_scores import score_classifications
from mmkd.reporting.detection_scores import RECALLS, DetectionScores, score_detections
from mmkd.reporting.pictures import (
    Scores,
    classification_pictures,
    detection_picture,
    most_changed,
)
from mmkd.reporting.predicting import student_predictions, teacher_predictions
from mmkd.reporting.predictions import Classifications, Detections, Predictions
from mmkd.reporting.run_groups import Group

BACKGROUND = 'background'
# A matrix of more classes shows those with the most confusions.
MATRIX = 20
CONFUSIONS = 12
# Points between a checkpoint's score and the logged one that rounding cannot explain.
AGREE = 0.5


@dataclass(eq=False)
class Predicted:
    """Predictions and scores of a group's runs, by seed as in :meth:`Group.by_seed`."""

    group: Group
    found: dict[Any, Predictions] = field(default_factory=dict)
    scores: dict[Any, Scores] = field(default_factory=dict)

    @property
    def any(self) -> Predictions:
        """The predictions of the first run."""
        return next(iter(self.found.values()))


def predict_all(groups: Sequence[Group], missing: list[str]) -> list[Predicted]:
    """Predict with the last checkpoint of each run; what fails is added to ``missing``.

    Groups whose validation images are not those of the students are left out.
    """
    every = []
    taught = next((run for group in groups for run in group.runs if run.is_distilled), None)
    for group in groups:
        predicted = Predicted(group)
        for seed, run in group.by_seed().items():
            _add(predicted, seed, str(run.path), partial(student_predictions, run), missing)
        if group.role == 'teacher' and not group.runs and taught is not None:
            _add(predicted, None, 'the teacher', partial(teacher_predictions, taught), missing)
        if predicted.found:
            every.append(predicted)
    students = [each for each in every if each.group.role != 'teacher'] or every
    if not students:
        return []
    kept = [each for each in every if each.any.same_truth(students[0].any)]
    for each in every:
        if each not in kept:
            missing.append(
                f'{each.group.name}: its validation images are not those of '
                f'{students[0].group.name}, so its predictions are not compared'
            )
    return kept


def _add(
    predicted: Predicted,
    seed: Any,
    who: str,
    predict: Callable[[], Predictions],
    missing: list[str],
) -> None:
    # Whatever is wrong with a run's data, model or checkpoint, the rest of the report stands.
    try:
        found = predict()
        scores = _scores(found)
    except Exception as error:
        reason = ' '.join(str(error).split()) or type(error).__name__
        missing.append(f'{who}: no predictions ({reason})')
    else:
        predicted.found[seed], predicted.scores[seed] = found, scores


def _scores(found: Predictions) -> Scores:
    if isinstance(found, Detections):
        return score_detections(found)
    assert isinstance(found, Classifications)
    return score_classifications(found)


def disagreements(predicted: Sequence[Predicted], metric: str) -> list[str]:
    """Name the runs whose checkpoint scores otherwise than their last validation."""
    found = []
    for each in predicted:
        runs = each.group.by_seed()
        for seed, score in each.scores.items():
            own = score.ap if isinstance(score, DetectionScores) else score.accuracy
            logged = runs[seed].columns.get(metric) if seed in runs else None
            if metric in ('AP', 'top-1') and logged is not None and abs(own - logged) > AGREE:
                found.append(
                    f'{runs[seed].path}: its checkpoint has {own:.1f} {metric} here, the last '
                    f'validation of its log {logged:.1f}; the pictures and classes may be of '
                    'another state or other data'
                )
    return found


def class_rows(
    predicted: Sequence[Predicted], alone: Group | None, best: Group | None
) -> list[dict[str, Any]]:
    """AP or accuracy of each class by group, those that gained most first."""
    if not predicted:
        return []
    found = predicted[0].any
    counts = np.bincount(found.truth, minlength=len(found.classes))
    rows = []
    for label, name in enumerate(found.classes):
        values = {each.group.name: _mean_of_class(each, label) for each in predicted}
        row: dict[str, Any] = dict(name=name, objects=int(counts[label]), values=values)
        sides = [values.get(group.name) if group is not None else None for group in (best, alone)]
        row['gain'] = None if None in sides else sides[0] - sides[1]  # type: ignore[operator]
        rows.append(row)
    return sorted(rows, key=lambda row: -(row['gain'] if row['gain'] is not None else -1e9))


def _mean_of_class(each: Predicted, label: int) -> float | None:
    values = [score.by_class[label] for score in each.scores.values()]
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def precision_recall(predicted: Sequence[Predicted]) -> Chart | None:
    """Precision over recall of detectors."""
    lines = [
        Line(each.group.name, [*zip((100 * RECALLS).tolist(), score.precision, strict=True)])
        for each in predicted
        for score in each.scores.values()
        if isinstance(score, DetectionScores)
    ]
    return chart_of('precision (%) at an IoU of 0.5', 'recall (%)', lines)


def confusion_matrices(predicted: Sequence[Predicted]) -> list[dict[str, Any]]:
    """The confusions of each group, summed over its runs; rows are the true classes."""
    matrices = []
    for each in predicted:
        total = np.sum([score.confusion for score in each.scores.values()], axis=0)
        names = [*each.any.classes]
        if isinstance(each.any, Detections):
            names.append(BACKGROUND)
        matrices.append(dict(name=each.group.name, classes=names, counts=total.tolist()))
    return matrices


def shown_matrix(matrix: dict[str, Any], chosen: Sequence[int]) -> dict[str, Any]:
    """The rows and columns of a matrix for a page, with shares of each row."""
    counts = np.array(matrix['counts'])
    totals = counts.sum(1, keepdims=True)
    shares = counts / np.maximum(totals, 1)
    return dict(
        name=matrix['name'],
        classes=[matrix['classes'][label] for label in chosen],
        rows=[
            [
                dict(count=int(counts[row, column]), share=float(shares[row, column]))
                for column in chosen
            ]
            for row in chosen
        ],
    )


def chosen_classes(matrices: Sequence[dict[str, Any]]) -> list[int]:
    """All classes, or those with the most confusions if they are many, in their order."""
    total = np.sum([matrix['counts'] for matrix in matrices], axis=0)
    if len(total) <= MATRIX + 1:
        return [*range(len(total))]
    errors = total * (1 - np.eye(len(total), dtype=int))
    worst = np.argsort(-(errors.sum(0) + errors.sum(1)), kind='stable')[:MATRIX]
    return sorted(worst.tolist())


def confusions(before: dict[str, Any], after: dict[str, Any]) -> list[dict[str, Any]]:
    """The most frequent confusions of two matrices, with their numbers in both."""
    first, second = np.array(before['counts']), np.array(after['counts'])
    total = (first + second) * (1 - np.eye(len(first), dtype=int))
    names = before['classes']
    pairs = np.dstack(np.unravel_index(np.argsort(-total, axis=None, kind='stable'), total.shape))
    return [
        dict(true=names[i], predicted=names[j], before=int(first[i, j]), after=int(second[i, j]))
        for i, j in pairs[0][:CONFUSIONS].tolist()
        if total[i, j]
    ]


def changed_images(
    before: Predicted, after: Predicted, missing: list[str]
) -> tuple[dict[str, Any], dict[str, list[dict[str, Any]]]]:
    """On how many images two groups differ, and pictures of the largest differences.

    The runs of the first seed that both have are compared.

    Returns:
        Numbers of images that are ``better``, ``worse`` and ``equal`` with the p-value of a sign
        test; and the pictures that ``gained`` and ``lost``.
    """
    seed = next((seed for seed in after.found if seed in before.found), None)
    sides = (before, after)
    if seed is None:
        scores = [next(iter(side.scores.values())) for side in sides]
        found = [side.any for side in sides]
    else:
        scores, found = [side.scores[seed] for side in sides], [side.found[seed] for side in sides]
    change = scores[1].quality() - scores[0].quality()
    better, worse = int((change > 0).sum()), int((change < 0).sum())
    counts = dict(better=better, worse=worse, equal=len(change) - better - worse)
    names = [side.group.name for side in sides]
    pictures = {}
    for kind, indices in zip(('gained', 'lost'), most_changed(*scores), strict=True):
        try:
            pictures[kind] = _pictures(indices, names, found, scores, after.group)
        except (OSError, ValueError, KeyError, AttributeError) as error:
            missing.append(f'pictures: an image cannot be read ({error})')
            break
    about = dict(before=names[0], after=names[1], seed=seed, **counts)
    about['p'] = _sign_test(better, worse)
    about['images'] = {kind: [p['name'] for p in each] for kind, each in pictures.items()}
    return about, pictures


def _pictures(
    indices: Sequence[int],
    names: Sequence[str],
    found: Sequence[Any],
    scores: Sequence[Any],
    group: Group,
) -> list[dict[str, Any]]:
    if isinstance(found[0], Detections):
        return [detection_picture(index, names, found, scores) for index in indices]
    config = next(run.student for run in group.runs if run.student is not None)
    return classification_pictures(indices, names, found, config)


def _sign_test(better: int, worse: int) -> float:
    from scipy.stats import binomtest  # takes a second to import

    return float(binomtest(better, better + worse).pvalue) if better + worse else 1.0
