"""The layers of dense heads that return class logits, objectness or boxes."""

from collections.abc import Sequence
from typing import NamedTuple

from mmkd.pairing.inspection.head_classes import Classes
from mmkd.pairing.inspection.pyramid import listed
from mmkd.pairing.inspection.trace import Calls, Output
from mmkd.pairing.methods.method import Config, Decisions, both

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


Layers = dict[str, Layer]  # by student and teacher


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
    found = _find(calls, 'cls', classes.number)
    if found is None:
        raise ValueError(
            f"{who}: expected in bbox_head a layer named '...cls...' that returns a map of "
            f'(anchors x {classes.number} classes) channels once a level, got none; use '
            f'{FEATURE_METHODS}'
        )
    return found


def objectness_layer(calls: Calls, locations: Layer) -> Layer | None:
    """Return the layer whose sigmoid is a factor of each score, as in YOLOX; None without one."""
    found = _find(calls, 'obj', 1)
    return found if found is not None and _strides(found) == _strides(locations) else None


def box_layer(calls: Calls, classes: Classes, who: str) -> Layer:
    """Return the layer that predicts boxes: four numbers or distributions for each anchor.

    Args:
        calls: What :func:`mmkd.pairing.inspection.trace` noted.
        classes: Of the head.
        who: ``'student'`` or ``'teacher'``, for errors.

    Raises:
        ValueError: If there is no such layer.
    """
    channels = 4 * (classes.edge_bins or 1)
    # The heads of GFL, FCOS and ATSS scale what their last layer returns.
    scaled = _layers_of_head(calls).get('bbox_head.scales', ())
    if _are_maps(scaled, channels):
        return Layer('bbox_head.scales', scaled)
    found = _find(calls, 'reg', channels)
    if found is None:
        raise ValueError(
            f"{who}: expected in bbox_head a layer named '...reg...' that returns a map of "
            f'(anchors x {channels}) channels once a level, got none; use {FEATURE_METHODS}'
        )
    return found


def _find(calls: Calls, word: str, channels: int) -> Layer | None:
    fitting = [
        Layer(source, outputs)
        for source, outputs in _layers_of_head(calls).items()
        if word in source and _are_maps(outputs, channels)
    ]
    # The tower may have as many channels, but heads register it before the last layer.
    named = [layer for layer in fitting if layer.source.endswith(word)]
    return named[-1] if named else fitting[-1] if fitting else None


def _strides(layer: Layer) -> list[tuple[int, int] | None]:
    return [output.stride for output in layer.levels]


def common_levels(layers: Layers, classes: Sequence[int] = (1, 1)) -> int:
    """Return the number of compared levels, from the finest.

    Args:
        layers: The layers of student and teacher.
        classes: The numbers of classes, if the layers return their logits.

    Raises:
        ValueError: If locations or anchors differ.
    """
    student, teacher = layers.values()
    count = min(len(student.levels), len(teacher.levels))
    places = [
        [(output.shape[1] // number, output.shape[2:], output.stride) for output in layer.levels]
        for layer, number in zip((student, teacher), classes, strict=True)
    ]
    if places[0][:count] != places[1][:count]:
        raise ValueError(
            "teacher: expected the student's locations and anchors, as their logits are compared "
            f'one by one: {student}; got {teacher}; use {FEATURE_METHODS}'
        )
    return count


def at_levels(layers: Layers, count: int, *more: Config) -> Config:
    """Return where a loss reads the first levels of two layers: its places and connectors.

    Args:
        layers: The layers of student and teacher.
        count: The number of levels.
        *more: Connectors of the teacher that follow.
    """
    chains = {who: _first(layer, count) for who, layer in layers.items()}
    chains['teacher'] += more
    connectors = {
        f'{who}_connector': chain[0] if len(chain) == 1 else chain
        for who, chain in chains.items()
        if chain
    }
    return dict(on=both(*map(_place, layers.values())), **connectors)


def as_input(layer: Layer, count: int, who: str, *more: Config) -> Config:
    """Return where a loss reads a further argument from the first levels of a layer."""
    chain = [*_first(layer, count), *more]
    connector = dict(connector=chain[0] if len(chain) == 1 else chain) if chain else {}
    return dict(_place(layer), from_student=who == 'student', **connector)


def _place(layer: Layer) -> Config:
    return dict(type='mmkd.LevelOutputs', source=layer.source)


def _first(layer: Layer, count: int) -> list[Config]:
    if len(layer.levels) == count:
        return []
    return [dict(type='mmkd.SelectLevels', levels=tuple(range(count)))]


def described(layers: Layers, count: int, what: str) -> Decisions:
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


def _are_maps(outputs: tuple[Output, ...], channels: int) -> bool:
    """Whether there is one map a level, with these channels for whole anchors."""
    strides = {output.stride for output in outputs}
    return (
        bool(outputs)
        and None not in strides
        and len(strides) == len(outputs)
        and all(output.shape[1] % channels == 0 for output in outputs)
    )
