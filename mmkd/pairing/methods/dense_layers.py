"""The layers of dense heads that return class logits or box distributions."""

from typing import NamedTuple

from mmkd.pairing.inspection.head_classes import Classes, check_same_number
from mmkd.pairing.inspection.pyramid import listed
from mmkd.pairing.inspection.trace import Calls, Output
from mmkd.pairing.methods.method import Config, Decisions, Pair, both

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


def box_layer(calls: Calls, bins: int | None, who: str) -> Layer:
    """Return the layer of a head of the GFL family that computes distributions of edges.

    Args:
        calls: What :func:`mmkd.pairing.inspection.trace` noted.
        bins: Distances of each edge; None for other heads.
        who: ``'student'`` or ``'teacher'``, for errors.

    Raises:
        ValueError: If there is no such layer.
    """
    layer = _layers_of_head(calls).get('bbox_head.scales', ())
    if bins is None or not layer or any(output.shape[1] != 4 * bins for output in layer):
        raise ValueError(
            f'{who}: expected a head that predicts the edges of a box as distributions (GFL, LD), '
            f'got another; use {FEATURE_METHODS}'
        )
    return Layer('bbox_head.scales', layer)


def classes_of_both(pair: Pair) -> dict[str, Classes]:
    """Return the classes of each box head.

    Raises:
        ValueError: If a model has none.
    """
    found = {}
    for who, classes in zip(pair.sides, pair.classes, strict=True):
        if classes is None:
            raise ValueError(
                f'{who}: expected a bbox_head with classes, got none; use {FEATURE_METHODS}'
            )
        found[who] = classes
    return found


def same_classes(pair: Pair) -> dict[str, Classes]:
    """Return the classes of each box head.

    Raises:
        ValueError: If a model has none, or their numbers differ.
    """
    found = classes_of_both(pair)
    student, teacher = (classes.number for classes in found.values())
    check_same_number(student, teacher, instead=FEATURE_METHODS)
    return found


def common_levels(student: Layer, teacher: Layer) -> int:
    """Return the number of compared levels, from the finest.

    Raises:
        ValueError: If locations or anchors differ.
    """
    count = min(len(student.levels), len(teacher.levels))
    if student.levels[:count] != teacher.levels[:count]:
        raise ValueError(
            "teacher: expected the student's locations and anchors, as their logits are compared "
            f'one by one: {student}; got {teacher}; use {FEATURE_METHODS}'
        )
    return count


def at_levels(student: Layer, teacher: Layer, count: int) -> Config:
    """Return where a loss reads the first levels of two layers: its places and connectors."""
    layers = dict(student=student, teacher=teacher)
    places = [dict(type='mmkd.LevelOutputs', source=layer.source) for layer in layers.values()]
    first = dict(type='mmkd.SelectLevels', levels=tuple(range(count)))
    connectors = {
        f'{who}_connector': first for who, layer in layers.items() if len(layer.levels) > count
    }
    return dict(on=both(*places), **connectors)


def described(layers: dict[str, Layer], count: int, what: str) -> Decisions:
    """Return the decisions on the compared layers."""
    strides = listed([max(o.stride) for o in layers['student'].levels[:count] if o.stride])
    lines = [(who, str(layer)) for who, layer in layers.items()]
    return [*lines, ('levels', f'{what} at strides {strides}')]


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
