"""Methods for detectors that compare boxes."""

from mmkd.pairing.inspection.head_classes import Classes
from mmkd.pairing.methods.dense_layers import (
    FEATURE_METHODS,
    as_input,
    at_levels,
    box_layer,
    class_layer,
    common_levels,
    described,
    objectness_layer,
)
from mmkd.pairing.methods.method import Config, Fitted, Method, Pair
from mmkd.pairing.methods.shared_classes import classes_of_both, picks_of_teacher


def compare_boxes(pair: Pair) -> Fitted:
    """Compare boxes where the teacher sees an object: distributions by LD, numbers by smooth L1.

    Raises:
        ValueError: If the heads are of two kinds, or differ in classes, locations or bins.
    """
    classes = classes_of_both(pair)
    _check_kinds(**classes)
    layers = {who: box_layer(calls, classes[who], who) for who, calls in pair.sides.items()}
    count = common_levels(layers)
    by_distributions = classes['student'].edge_bins is not None
    loss = dict(
        type='mmkd.LDLoss' if by_distributions else 'mmkd.DenseBoxesLoss',
        inputs=_teacher_scores(pair, classes, count),
        **at_levels(layers, count),
    )
    return Fitted(dict(losses=dict(boxes=loss)), described(layers, count, 'boxes'))


BOX_METHODS: dict[str, Method] = {'boxes': compare_boxes}


def _check_kinds(student: Classes, teacher: Classes) -> None:
    """Raise for heads of two kinds: their numbers mean other boxes before decoding."""
    if (student.kind, student.edge_bins) != (teacher.kind, teacher.edge_bins):
        bins = '' if student.edge_bins is None else f' of {student.edge_bins} distances'
        raise ValueError(
            f"teacher: expected the student's head {student.kind}{bins}, whose boxes are compared "
            f'before decoding, got {teacher.kind} of {teacher.edge_bins} distances; use '
            f'{FEATURE_METHODS}'
        )


def _teacher_scores(pair: Pair, classes: dict[str, Classes], count: int) -> Config:
    """What tells where the teacher sees an object of the student's classes."""
    scores = class_layer(pair.teacher, classes['teacher'], 'teacher')
    picks = picks_of_teacher(pair, classes)
    inputs = dict(scores=as_input(scores, count, 'teacher', *picks))
    objectness = objectness_layer(pair.teacher, scores)
    if objectness is not None:
        inputs['objectness'] = as_input(objectness, count, 'teacher')
    return inputs
