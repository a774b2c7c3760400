"""A teacher or student as the caller gives it: a config file, a config, or a model."""

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.api.running import load_config
from mmkd.checking.build_errors import explain_building
from mmkd.models.building import build_model
from mmkd.pairing.writing.config_text import assignments
from mmkd.pairing.writing.own_data import class_overrides
from mmkd.pairing.writing.settings import Settings, merge, without_scope
from mmkd.teachers.frozen_teacher import ARGUMENTS

Model: TypeAlias = str | Path | Config | nn.Module


@dataclass
class Source:
    """A model's config, and where the distillation's config finds it.

    Attributes:
        who: ``'teacher'`` or ``'student'``.
        config: The config.
        name: A short name, for files and titles.
        path: The config's file; None if it has to be written.
        state_dict: The weights of a built model.
    """

    who: str
    config: Config
    name: str
    path: str | None = None
    state_dict: Mapping[str, Tensor] | None = None

    def build(self, settings: Mapping[str, Any]) -> BaseModel:
        """Build the model without weights, its config changed by the settings of the run.

        Raises:
            ValueError: If a built model is no longer what its config describes.
        """
        changes = {k: v for k, v in settings.items() if k not in ('cfg_path', *ARGUMENTS)}
        merged = Config(dict(model=copy.deepcopy(self.config.model)))
        merged.merge_from_dict(dict(model=copy.deepcopy(changes)))
        scope = DefaultScope.overwrite_default_scope(self.config.get('default_scope'))
        with scope, explain_building(merged):
            model = build_model(merged.model)
        own = set(model.state_dict())
        if different := sorted(own ^ set(own if self.state_dict is None else self.state_dict)):
            raise ValueError(
                f'{self.who}: expected a model as its config describes it, got other tensors: '
                f'{different[:5]}; change `model.cfg` as you changed the model'
            )
        return model


def read_source(who: str, model: Model) -> Source:
    """Read a teacher or student.

    Args:
        who: ``'teacher'`` or ``'student'``, for errors.
        model: Path of a config (``'mmdet::...'`` for a package's), a config, or a built model that
            carries its config, as those of MMDetection's ``init_detector`` and MMPretrain's
            ``get_model`` do.

    Raises:
        TypeError: If it is none of these.
        ValueError: If a model has no config, or a config describes a distillation.
    """
    if isinstance(model, nn.Module):
        config = getattr(model, 'cfg', None) or getattr(model, '_config', None)
        if not isinstance(config, Config):
            raise ValueError(
                f'{who}: expected a model that carries its config, got a {type(model).__name__} '
                'without one; build it with mmdet.apis.init_detector or mmpretrain.get_model, set '
                f'`model.cfg` to its Config, or pass the Config instead'
            )
        source = Source(who, config, _name(config), state_dict=model.state_dict())
    elif isinstance(model, Config):
        source = Source(who, model, _name(model))
    elif isinstance(model, str | Path):
        config = load_config(str(model))
        package, separator, _ = str(model).partition('::')
        if separator:
            config.setdefault('default_scope', package)
        path = str(model) if separator else str(Path(model).resolve())
        source = Source(who, config, Path(model).stem, path)
    else:
        raise TypeError(
            f'{who}: expected the path of a config, a Config or a built model, got '
            f'{type(model).__name__}'
        )
    if 'model' not in source.config or 'architecture' in source.config.model:
        raise ValueError(f'{who}: expected the config of a plain model, got {source.name}')
    return source


def _name(config: Config) -> str:
    return Path(config.filename).stem if config.filename else config.model.type.split('.')[-1]


class Files:
    """Files of models that the caller did not give as files.

    Args:
        run: Folder of the run.
    """

    def __init__(self, run: Path) -> None:
        self.run = run.resolve()
        self.content: dict[Path, Any] = {}

    def config(self, source: Source) -> str:
        """Return the path of a model's config."""
        if source.path is not None:
            return source.path
        path = self.run / f'{source.who}_config.py'
        self.content[path] = assignments(source.config.to_dict())
        return str(path)

    def checkpoint(self, source: Source) -> str:
        """Return the path of a built model's weights."""
        path = self.run / f'{source.who}_weights.pth'
        self.content[path] = {
            name: value.cpu() for name, value in (source.state_dict or {}).items()
        }
        return str(path)


def model_settings(
    student: Source,
    teacher: Source,
    files: Files,
    teacher_checkpoint: str | Path | None,
    classes: Sequence[str],
) -> Settings:
    """Return the settings of the algorithm with teacher and student.

    Raises:
        ValueError: If the teacher has no weights, or two.
    """
    architecture = dict(cfg_path=files.config(student), **_student_changes(student, files, classes))
    checkpoint = _teacher_checkpoint(teacher, files, teacher_checkpoint)
    return dict(
        _delete_=True,
        type='mmkd.FrozenTeacherDistill',
        architecture=architecture,
        teacher=dict(cfg_path=files.config(teacher), checkpoint=checkpoint),
    )


def _student_changes(student: Source, files: Files, classes: Sequence[str]) -> Settings:
    """What the run changes in the student's model: its start and its classes."""
    start = student.config.get('load_from')
    if student.state_dict is not None:
        start = files.checkpoint(student)
    changes: Settings = {}
    if start:
        changes['init_cfg'] = dict(type='Pretrained', checkpoint=start)
    return changes | (class_overrides(student.config.model, len(classes)) if classes else {})


def plain_settings(
    student: Source, files: Files, classes: Sequence[str], options: Settings
) -> Settings:
    """Return the settings of the student alone, whole: a child config cannot merge into lists.

    Args:
        student: The student.
        files: Where the weights of a built student go.
        classes: Names of the classes of your data.
        options: Nested settings of the distillation's ``model``; those of its ``architecture``
            belong to the student.
    """
    changes = _student_changes(student, files, classes)
    merge(changes, options.get('architecture', {}))
    changed = Config(dict(model=copy.deepcopy(student.config.model)))
    changed.merge_from_dict(dict(model=changes))
    scope = student.config.get('default_scope')
    return dict(_delete_=True, **without_scope(changed.model.to_dict(), scope))


def _teacher_checkpoint(teacher: Source, files: Files, given: str | Path | None) -> str:
    if (given is None) == (teacher.state_dict is None):
        got = 'nothing' if given is None else f'a built model and {given}'
        raise ValueError(
            'teacher_checkpoint: expected the weights (a file or URL) of a teacher that is given '
            f'as a config, or a built teacher, whose weights are used; got {got}'
        )
    if teacher.state_dict is not None:
        return files.checkpoint(teacher)
    if '://' in str(given):
        return str(given)
    return str(Path(str(given)).resolve())
