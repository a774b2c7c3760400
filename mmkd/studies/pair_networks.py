"""The teacher and the students that a command names."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from os import PathLike
from pathlib import Path, PurePath
from typing import Any

from mmengine.config import Config
from mmengine.model import BaseModel

from mmkd.exporting import student_config, student_state_dict
from mmkd.models.building import build_model
from mmkd.pairing.inspection.teacher_labels import teacher_labels
from mmkd.storage.checkpoint import load_all, read_checkpoint, state_dict_of
from mmkd.studies.networks import Network
from mmkd.studies.study import TEACHER
from mmkd.teachers import FrozenTeacher

Paths = Sequence[str | PathLike[str]]


@dataclass(frozen=True)
class Student:
    """A student's name, weights and epoch."""

    name: str
    model: BaseModel
    epoch: int | None


def teacher_settings(
    cfg: Config, teacher: str | None, checkpoint: str | PathLike[str] | None
) -> dict[str, Any]:
    """The teacher's config: that of a distillation, or the one that was given.

    Raises:
        ValueError: If there is none, or there are several.
    """
    settings = dict(cfg.model.get('teacher') or {}) if 'architecture' in cfg.model else {}
    if teacher is not None:
        settings = dict(cfg_path=teacher)
        if checkpoint is None:
            raise ValueError(f'teacher_checkpoint: expected the weights of {teacher}, got none')
    if not settings:
        raise ValueError(
            'teacher: expected the config of a distillation, or --teacher CONFIG '
            '--teacher-checkpoint FILE, got neither'
        )
    if 'members' in settings:
        raise ValueError(
            f'teacher: expected one, the config has {[*settings["members"]]}; name one by '
            '--teacher CONFIG --teacher-checkpoint FILE'
        )
    if checkpoint is not None:
        settings['checkpoint'] = str(checkpoint)
    return settings


def build_teacher_network(
    settings: Mapping[str, Any], layers: Sequence[str] | None, classes: Sequence[str]
) -> tuple[Network, str | None]:
    """Build the teacher, and say why its logits cannot be compared, if so.

    Raises:
        FileNotFoundError: If its checkpoint is missing.
    """
    try:
        teacher = FrozenTeacher.from_config(settings)
    except FileNotFoundError as error:
        remedy = 'name its file by --teacher-checkpoint'
        raise FileNotFoundError(f'teacher: {error}; {remedy}') from error
    try:
        columns = teacher_labels(classes, teacher.model, settings, teacher.classes or ())
    except ValueError as error:
        return Network(TEACHER, teacher.model, layers, has_logits=False), str(error)
    network = Network(TEACHER, teacher.model, layers, columns)
    return network, None if network.has_logits else 'the teacher has no logits of an object'


def build_students(cfg: Config, checkpoints: Paths) -> list[Student]:
    """Build the student with each checkpoint.

    Raises:
        ValueError: If a checkpoint does not fit, or is given twice.
    """
    plain = student_config(cfg)
    names = student_names(checkpoints)
    students = []
    for name, path in zip(names, checkpoints, strict=True):
        content = read_checkpoint(path)
        model = build_model(plain.model)
        load_all(model, student_state_dict(state_dict_of(content, str(path))), str(path))
        meta = content.get('meta')
        epoch = meta.get('epoch') if isinstance(meta, Mapping) else None
        students.append(Student(name, model, epoch if isinstance(epoch, int) else None))
    return students


def student_names(checkpoints: Paths) -> list[str]:
    """A short name for each checkpoint: the part of its path that tells it from the others.

    Raises:
        ValueError: If there is no checkpoint, or one is given twice.

    Example:
        >>> student_names(['a/kd/epoch_9.pth', 'a/fkd/epoch_9.pth'])
        ['kd', 'fkd']
        >>> student_names(['a/epoch_9.pth'])
        ['student']
    """
    if not checkpoints:
        raise ValueError('checkpoints: expected at least one of the student, got none')
    if len(checkpoints) == 1:
        return ['student']
    parts = [PurePath(_local(path)).with_suffix('').parts for path in checkpoints]
    if len({*parts}) < len(parts):
        raise ValueError(f'checkpoints: expected different files, got {[*map(str, checkpoints)]}')
    while len({each[-1] for each in parts}) == 1:
        parts = [each[:-1] for each in parts]
    for depth in range(1, max(map(len, parts)) + 1):
        names = ['/'.join(each[-depth:]) for each in parts]
        if len({TEACHER, *names}) > len(names):
            return names
    return [f'student {number}' for number in range(1, len(parts) + 1)]


def _local(path: str | PathLike[str]) -> str:
    text = str(path)
    return text if '://' in text else str(Path(text).absolute())
