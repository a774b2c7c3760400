"""The labels by which a teacher knows the classes of the data."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config
from torch import nn

from mmkd.checking.config_file import read_config
from mmkd.models.heads import classifying_heads
from mmkd.pairing.inspection.class_names_of import class_names_of, same_classes


def teacher_labels(
    classes: Sequence[str], model: nn.Module, settings: Mapping[str, Any], known: Sequence[str] = ()
) -> list[int] | None:
    """Return the teacher's label of each class of the data.

    Args:
        classes: Names of the data's classes.
        model: The teacher.
        settings: Its config, perhaps with ``cfg_path``.
        known: Names of its classes, if its checkpoint says them.

    Returns:
        The labels; None for a teacher of as many classes as the data, which are the same then.

    Raises:
        ValueError: If the teacher has other classes.
    """
    heads: list[Any] = [head for _, head in classifying_heads(model)]
    count = int(heads[-1].num_classes) if heads else len(classes)
    if count == len(classes):
        return None
    path = settings.get('cfg_path')
    own = read_config(path) if isinstance(path, str) else Config()
    known = known or class_names_of(own, count)
    label_of = {own: label for label, own in same_classes(classes, known).items()}
    if len(known) != count or len(label_of) < len(classes):
        raise ValueError(f'the teacher has {count} classes, not the {len(classes)} of the data')
    return [label_of[label] for label in range(len(classes))]
