"""The names of a model's classes, and which classes of two models are the same."""

from collections.abc import Mapping, Sequence
from typing import Any

from mmengine.config import Config

from mmkd.checking.close_names import did_you_mean
from mmkd.datasets.class_names import plain_name
from mmkd.registry import DATASETS


def class_names_of(cfg: Config, count: int | None = None) -> tuple[str, ...]:
    """Return the names of the classes that a config trains on.

    Args:
        cfg: The config.
        count: The number of classes of the model. Names of another number are not its classes.

    Returns:
        The names; none if the config does not say.
    """
    dataset: Any = cfg.get('train_dataloader') or {}
    while isinstance(dataset.get('dataset'), Mapping):
        dataset = dataset['dataset']
    names = (dataset.get('metainfo') or {}).get('classes')
    if names is None and isinstance(dataset.get('type'), str):
        with DATASETS.switch_scope_and_registry(cfg.get('default_scope')) as registry:
            names = getattr(registry.get(dataset['type']), 'METAINFO', {}).get('classes')
    if names is None or isinstance(names, str) or count not in (None, len(names)):
        return ()
    return tuple(names)


def same_classes(
    student: Sequence[str], teacher: Sequence[str], given: Mapping[str, str] | None = None
) -> dict[int, int]:
    """Return the student's label for each label of the teacher that means the same class.

    Case, spaces and hyphens do not matter.

    Args:
        student: Names of the student's classes.
        teacher: Names of the teacher's.
        given: The student's name for names of the teacher that differ.

    Raises:
        ValueError: If a given name is none of these.

    Example:
        >>> same_classes(['Person', 'pet'], ['dog', 'person', 'cat'], dict(dog='pet', cat='pet'))
        {0: 1, 1: 0, 2: 1}
    """
    given = given or {}
    for names, known, who in (
        (given.keys(), teacher, 'teacher'),
        (given.values(), student, 'student'),
    ):
        for name in names:
            if name not in known:
                raise ValueError(
                    f'unlabeled.classes: expected classes of the {who}, got {name!r}'
                    f'{did_you_mean(str(name), known)}'
                )
    plain = {plain_name(name): label for label, name in enumerate(student)}
    found = {}
    for label, name in enumerate(teacher):
        if name in given:
            found[label] = [*student].index(given[name])
        elif plain_name(name) in plain:
            found[label] = plain[plain_name(name)]
    return found
