"""Methods that compare class logits, fitted to a pair of detectors."""

from typing import Any, NamedTuple

from mmkd.pairing.inspection.head_classes import Classes, check_same_number
from mmkd.pairing.inspection.pyramid import listed
from mmkd.pairing.inspection.trace import Calls, Output
from mmkd.pairing.methods.method import Fitted, Method, Pair

Config = dict[str, Any]
FEATURE_METHODS = 'pcka or fkd, which compare features'


class Layer(NamedTuple):
    """The layer of a dense head that returns the class logits, or a list of them, one a level.

    Attributes:
        source: Its name.
        levels: Its outputs.
    """

    source: str
    levels: tuple[Output, ...]

    def __str__(self) -> str:
        return f'{self.source}: {", ".join(map(str, self.levels))}'


def fit_dense(distiller: Config, pair: Pair) -> Fitted:
    """Record each head's class logits, and compare them on the levels that both have.

    Raises:
        ValueError: If a head has no such layer, or classes, locations or anchors differ.
    """
    classes = _same_classes(pair)
    layers = {who: class_layer(calls, classes[who], who) for who, calls in pair.sides.items()}
    count = _common_levels(**layers)
    for loss in distiller['distill_losses'].values():
        loss['num_classes'] = classes['student'].number
        if len({len(layer.levels) for layer in layers.values()}) > 1:
            loss['levels'] = tuple(range(count))
    _check_correlation(classes['student'].number)
    _record(distiller, {who: layer.source for who, layer in layers.items()})
    decisions = [(who, str(layer)) for who, layer in layers.items()]
    strides = listed([max(out.stride) for out in layers['student'].levels[:count] if out.stride])
    return Fitted(distiller, [*decisions, ('levels', f'class logits at strides {strides}')])


def fit_proposals(distiller: Config, pair: Pair) -> Fitted:
    """Record the class logits of proposals: of the student's first stage and the teacher's last.

    Raises:
        ValueError: If one is no two-stage detector with such logits, or the classes differ.
    """
    stages = {who: _stages(calls, who) for who, calls in pair.sides.items()}
    _same_classes(pair)
    sources = dict(student=stages['student'][0], teacher=stages['teacher'][-1])
    outputs = {who: calls[sources[who]][0][0] for who, calls in pair.sides.items()}
    student, teacher = (output.shape[-1] for output in outputs.values())
    if student != teacher:
        raise ValueError(
            f"teacher: expected the student's {student} logits for a proposal, got {teacher}: one "
            f'of them has logits beside those of its classes; take {FEATURE_METHODS}'
        )
    _check_correlation(student)
    _record(distiller, sources)
    text = "the student's, sampled for its training; the teacher judges the same"
    return Fitted(distiller, [*sources.items(), ('proposals', text)])


def class_layer(calls: Calls, classes: Classes, who: str) -> Layer:
    """The layer of a dense head that returns class logits (A * K channels), once a level.

    Args:
        calls: What :func:`mmkd.pairing.inspection.trace` noted.
        classes: Of the head.
        who: ``'student'`` or ``'teacher'``, for errors.

    Raises:
        ValueError: If there is none, or background has a logit, which is nearly everywhere the
            highest and hides what the teacher knows of objects.
    """
    if classes.background:
        raise ValueError(
            f'{who}: expected a head with logits of its {classes.number} classes alone (sigmoid), '
            f'got one with background beside them (softmax); take {FEATURE_METHODS}'
        )
    fitting = [
        Layer(source, outputs)
        for source, outputs in _layers_of_head(calls).items()
        if 'cls' in source and _are_class_maps(outputs, classes.number)
    ]
    if not fitting:
        raise ValueError(
            f"{who}: expected in bbox_head a layer named '...cls...' that returns a map of "
            f'(anchors x {classes.number} classes) channels once a level, got none; take '
            f'{FEATURE_METHODS}'
        )
    # The tower before it may have as many channels; heads register it after the tower.
    return ([layer for layer in fitting if layer.source.endswith('cls')] or fitting)[-1]


def _same_classes(pair: Pair) -> dict[str, Classes]:
    found = {}
    for who, classes in zip(pair.sides, pair.classes, strict=True):
        if classes is None:
            raise ValueError(
                f'{who}: expected a bbox_head with classes, got none; take {FEATURE_METHODS}'
            )
        found[who] = classes
    student, teacher = (classes.number for classes in found.values())
    check_same_number(student, teacher, instead=FEATURE_METHODS)
    return found


def _layers_of_head(calls: Calls) -> dict[str, tuple[Output, ...]]:
    """Outputs of the box head's parts; of a list, which does not run itself, of its members."""
    found: dict[str, tuple[Output, ...]] = {}
    for name, outputs in calls.items():
        head, *parts = name.split('.')
        source = f'{head}.{parts[0]}' if parts else head
        is_member = len(parts) == 2 and source not in calls
        if head == 'bbox_head' and (len(parts) == 1 or is_member):
            of_calls = tuple(output for call in outputs for output in call)
            found[source] = found.get(source, ()) + of_calls
    return found


def _are_class_maps(outputs: tuple[Output, ...], num_classes: int) -> bool:
    """Whether there is one map a level, with channels for the classes of whole anchors."""
    strides = {output.stride for output in outputs}
    return (
        None not in strides
        and len(strides) == len(outputs)
        and all(output.shape[1] % num_classes == 0 for output in outputs)
    )


def _common_levels(student: Layer, teacher: Layer) -> int:
    """How many levels, from the finest, are compared."""
    count = min(len(student.levels), len(teacher.levels))
    if student.levels[:count] != teacher.levels[:count]:
        raise ValueError(
            "teacher: expected the student's locations and anchors, as their logits are compared "
            f'one by one: {student}; got {teacher}; take {FEATURE_METHODS}'
        )
    return count


def _stages(calls: Calls, who: str) -> list[str]:
    """Names of the layers that return class logits (N, K) of proposals, a stage each."""
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
            '(fc_cls), got another; take a teacher and a student of equally many stages, or '
            f'{FEATURE_METHODS}'
        )
    return names


def _check_correlation(logits: int) -> None:
    """Two logits always correlate by 1 or -1, whatever the student learns."""
    if logits < 3:
        raise ValueError(
            'student: expected three logits or more of a location or proposal, whose correlation '
            f'the method compares, got {logits}; take {FEATURE_METHODS}'
        )


def _record(distiller: Config, sources: dict[str, str]) -> None:
    for who, source in sources.items():
        distiller[f'{who}_recorders']['logits']['source'] = source


# Of pairs with a two-stage detector, and of two one-stage detectors.
LOGIT_METHODS = {
    'cmkd': Method('cmkd_proposals', fit_proposals, dict(type='mmkd.SharedProposalDistill'))
}
ONE_STAGE_LOGIT_METHODS = {'cmkd': Method('cmkd_dense', fit_dense)}
