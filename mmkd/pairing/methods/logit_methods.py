"""Methods for detectors that compare class logits."""

from typing import NamedTuple

from mmkd.pairing.inspection.head_classes import Classes, check_same_number
from mmkd.pairing.inspection.pyramid import listed
from mmkd.pairing.inspection.trace import Calls, Output
from mmkd.pairing.methods.method import Fitted, Pair, both, published

FEATURE_METHODS = 'pcka or fkd, which compare features'


class Layer(NamedTuple):
    """The layer of a dense head that returns class logits, or a list of layers, one per level.

    Attributes:
        source: Name of the layer.
        levels: Its outputs.
    """

    source: str
    levels: tuple[Output, ...]

    def __str__(self) -> str:
        return f'{self.source}: {", ".join(map(str, self.levels))}'


def cmkd_dense(pair: Pair) -> Fitted:
    """CMKD of class logits at the locations where the teacher is most confident.

    Raises:
        ValueError: If a head has no layer of class logits, or classes, locations or anchors differ.
    """
    classes = _same_classes(pair)
    layers = {who: class_layer(calls, classes[who], who) for who, calls in pair.sides.items()}
    count = _common_levels(**layers)
    _check_correlation(classes['student'].number)
    places = [dict(type='mmkd.LevelOutputs', source=layer.source) for layer in layers.values()]
    loss = published('cmkd_dense')['losses']['cmkd'] | dict(on=both(*places))
    if len({len(layer.levels) for layer in layers.values()}) > 1:
        loss['levels'] = tuple(range(count))
    decisions = [(who, str(layer)) for who, layer in layers.items()]
    strides = listed([max(out.stride) for out in layers['student'].levels[:count] if out.stride])
    decisions.append(('levels', f'class logits at strides {strides}'))
    return Fitted(dict(losses=dict(cmkd=loss)), decisions)


def cmkd_proposals(pair: Pair) -> Fitted:
    """CMKD of the class logits of proposals: the student's first stage and the teacher's last.

    Raises:
        ValueError: If a model is no two-stage detector with such logits, or the classes differ.
    """
    stages = {who: _stages(calls, who) for who, calls in pair.sides.items()}
    _same_classes(pair)
    sources = dict(student=stages['student'][0], teacher=stages['teacher'][-1])
    outputs = {who: calls[sources[who]][0][0] for who, calls in pair.sides.items()}
    student, teacher = (output.shape[-1] for output in outputs.values())
    if student != teacher:
        raise ValueError(
            f"teacher: expected the student's {student} logits for a proposal, got {teacher}: one "
            f'of the models has further logits beside its classes; use {FEATURE_METHODS}'
        )
    _check_correlation(student)
    loss = published('cmkd_proposals')['losses']['cmkd'] | dict(on=both(**sources))
    text = "both networks classify the proposals that the student's training samples"
    model = dict(type='mmkd.SharedProposalDistill')
    return Fitted(dict(losses=dict(cmkd=loss)), [*sources.items(), ('proposals', text)], model)


def cmkd(pair: Pair) -> Fitted:
    """CMKD of class logits: of proposals if a model is a two-stage detector, else of locations."""
    two_stage = any('roi_head' in name for calls in pair.sides.values() for name in calls)
    return cmkd_proposals(pair) if two_stage else cmkd_dense(pair)


def class_layer(calls: Calls, classes: Classes, who: str) -> Layer:
    """Return the layer of a dense head that computes class logits, A * K channels, on each level.

    Args:
        calls: What :func:`mmkd.pairing.inspection.trace` noted.
        classes: Classes of the head.
        who: ``'student'`` or ``'teacher'``, for errors.

    Raises:
        ValueError: If there is no such layer, or if the background has a logit: it is the highest
            almost everywhere and hides what the teacher knows about objects.
    """
    if classes.background:
        raise ValueError(
            f'{who}: expected a head with logits of its {classes.number} classes alone (sigmoid), '
            f'got one with background beside them (softmax); use {FEATURE_METHODS}'
        )
    fitting = [
        Layer(source, outputs)
        for source, outputs in _layers_of_head(calls).items()
        if 'cls' in source and _are_class_maps(outputs, classes.number)
    ]
    if not fitting:
        raise ValueError(
            f"{who}: expected in bbox_head a layer named '...cls...' that returns a map of "
            f'(anchors x {classes.number} classes) channels once a level, got none; use '
            f'{FEATURE_METHODS}'
        )
    # The tower may have as many channels, but heads register it before the last layer.
    return ([layer for layer in fitting if layer.source.endswith('cls')] or fitting)[-1]


def _same_classes(pair: Pair) -> dict[str, Classes]:
    found = {}
    for who, classes in zip(pair.sides, pair.classes, strict=True):
        if classes is None:
            raise ValueError(
                f'{who}: expected a bbox_head with classes, got none; use {FEATURE_METHODS}'
            )
        found[who] = classes
    student, teacher = (classes.number for classes in found.values())
    check_same_number(student, teacher, instead=FEATURE_METHODS)
    return found


def _layers_of_head(calls: Calls) -> dict[str, tuple[Output, ...]]:
    """Outputs of the parts of the box head. A list does not run itself, so its members count."""
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
    """Number of compared levels, from the finest."""
    count = min(len(student.levels), len(teacher.levels))
    if student.levels[:count] != teacher.levels[:count]:
        raise ValueError(
            "teacher: expected the student's locations and anchors, as their logits are compared "
            f'one by one: {student}; got {teacher}; use {FEATURE_METHODS}'
        )
    return count


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


def _check_correlation(logits: int) -> None:
    """Raise for two logits: they always correlate by 1 or -1, whatever the student learns."""
    if logits < 3:
        raise ValueError(
            'student: expected three logits or more per location or proposal, because the method '
            f'compares their correlation, got {logits}; use {FEATURE_METHODS}'
        )
