"""A teacher or student as the caller gives it: a config file, a config, or a model."""

import copy
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

from mmengine.config import Config
from mmengine.model import BaseModel
from mmengine.registry import DefaultScope
from torch import Tensor, nn

from mmkd.api.running import load_config
from mmkd.models.building import build_model

Model: TypeAlias = str | Path | Config | nn.Module


@dataclass
class Source:
    """A model's config, and where the distillation's config finds it.

    Attributes:
        config: The config.
        name: A short name, for files and titles.
        path: The config's file; None if it has to be written.
        state_dict: The weights of a built model.
    """

    config: Config
    name: str
    path: str | None = None
    state_dict: Mapping[str, Tensor] | None = None

    def build(self, overrides: Mapping[str, Any]) -> BaseModel:
        """Build the model, its config changed by ``overrides``, without weights."""
        merged = Config(dict(model=copy.deepcopy(self.config.model)))
        merged.merge_from_dict(dict(model=copy.deepcopy(dict(overrides))))
        with DefaultScope.overwrite_default_scope(self.config.get('default_scope')):
            return build_model(merged.model)


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
        source = Source(config, _name(config), state_dict=model.state_dict())
    elif isinstance(model, Config):
        source = Source(model, _name(model))
    elif isinstance(model, str | Path):
        config = load_config(str(model))
        package, separator, _ = str(model).partition('::')
        if separator:
            config.setdefault('default_scope', package)
        path = str(model) if separator else str(Path(model).resolve())
        source = Source(config, Path(model).stem, path)
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
