"""Methods for detectors that compare class logits."""

from functools import partial

from mmkd.pairing.inspection.head_classes import Classes, check_same_number
from mmkd.pairing.inspection.trace import Calls
from mmkd.pairing.methods.dense_layers import (
    FEATURE_METHODS,
    Layers,
    as_input,
    at_levels,
    class_layer,
    common_levels,
    described,
    objectness_layer,
)
from mmkd.pairing.methods.method import Config, Fitted, Method, Pair, both, is_two_stage, published
from mmkd.pairing.methods.shared_classes import classes_of_both, picks_of_teacher

# A softmax needs two logits, and the correlation of two is always 1 or -1.
FEWEST_LOGITS = dict(kd=2, dist=3, cmkd=3)


def compare_locations(pair: Pair, name: str) -> Fitted:
    """Compare class logits at the locations where the teacher is most confident.

    Raises:
        ValueError: If a head has no layer of class logits, or classes, locations or anchors differ.
    """
    classes = classes_of_both(pair)
    picks = picks_of_teacher(pair, classes)
    layers, count = _class_layers(pair, classes)
    _check_number(classes['student'].number, name)
    loss = published(f'{name}_dense')['losses'][name] | at_levels(layers, count, *picks)
    return Fitted(dict(losses={name: loss}), described(layers, count, 'class logits'))


def compare_proposals(pair: Pair, name: str) -> Fitted:
    """Compare the class logits of proposals: the student's first stage and the teacher's last.

    Raises:
        ValueError: If a model is no two-stage detector with such logits, or the classes differ.
    """
    stages = {who: _stages(calls, who) for who, calls in pair.sides.items()}
    numbers = (of.number for of in classes_of_both(pair).values())
    check_same_number(*numbers, instead=FEATURE_METHODS)
    sources = dict(student=stages['student'][0], teacher=stages['teacher'][-1])
    outputs = {who: calls[sources[who]][0][0] for who, calls in pair.sides.items()}
    student, teacher = (output.shape[-1] for output in outputs.values())
    if student != teacher:
        raise ValueError(
            f"teacher: expected the student's {student} logits for a proposal, got {teacher}: one "
            f'of the models has further logits beside its classes; use {FEATURE_METHODS}'
        )
    _check_number(student, name)
    loss = published(f'{name}_proposals')['losses'][name] | dict(on=both(**sources))
    text = "both networks classify the proposals that the student's training samples"
    model = dict(type='mmkd.SharedProposalDistill')
    return Fitted(dict(losses={name: loss}), [*sources.items(), ('proposals', text)], model)


def compare_scores(pair: Pair) -> Fitted:
    """Compare the scores of all locations by a soft focal loss.

    Raises:
        ValueError: As in :func:`compare_locations`.
    """
    classes = classes_of_both(pair)
    picks = picks_of_teacher(pair, classes)
    layers, count = _class_layers(pair, classes)
    loss = dict(
        type='mmkd.SoftFocalLoss', **at_levels(layers, count, *picks), **_objectness(layers, pair)
    )
    return Fitted(dict(losses=dict(scores=loss)), described(layers, count, 'scores'))


def _fit(name: str, pair: Pair) -> Fitted:
    """Of proposals if a model is a two-stage detector, else of locations."""
    return (compare_proposals if is_two_stage(pair) else compare_locations)(pair, name)


LOGIT_METHODS: dict[str, Method] = {
    **{name: partial(_fit, name) for name in FEWEST_LOGITS},
    'scores': compare_scores,
}


def _class_layers(pair: Pair, classes: dict[str, Classes]) -> tuple[Layers, int]:
    layers = {who: class_layer(calls, classes[who], who) for who, calls in pair.sides.items()}
    return layers, common_levels(layers, classes=[of.number for of in classes.values()])


def _objectness(layers: Layers, pair: Pair) -> Config:
    """The inputs of a loss on scores that are products, if both heads have such."""
    found = {who: objectness_layer(calls, layers[who]) for who, calls in pair.sides.items()}
    student, teacher = found.values()
    if student is None or teacher is None:
        return {}
    count = common_levels(dict(student=student, teacher=teacher))
    inputs = dict(
        objectness=as_input(student, count, 'student'),
        teacher_objectness=as_input(teacher, count, 'teacher'),
    )
    return dict(inputs=inputs)


def _stages(calls: Calls, who: str) -> list[str]:
    """Names of the layers that return class logits (N, K) of proposals, one per stage."""
    names = [
        name
        for name, outputs in calls.items()
        if name.startswith('roi_head.bbox_head.')
        and name.endswith('.fc_cls')
        and len(outputs[0][0].shape) == 2
    ]
    if not names:
        raise ValueError(
            f'{who}: expected a two-stage detector, whose roi_head gives proposals class logits '
            '(fc_cls), got another; use a teacher and a student of equally many stages, or '
            f'{FEATURE_METHODS}'
        )
    return names


def _check_number(logits: int, name: str) -> None:
    fewest = FEWEST_LOGITS[name]
    if logits < fewest:
        raise ValueError(
            f'student: expected {fewest} logits or more per location or proposal, because {name} '
            f'compares them with each other, got {logits}; use {FEATURE_METHODS}'
        )
