"""The student of a distillation as a plain model of MMDetection or MMPretrain."""

from __future__ import annotations

from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config

import mmkd.registry  # noqa: F401
from mmkd.models.building import model_config
from mmkd.storage.atomic_write import save_atomically
from mmkd.storage.checkpoint import read_checkpoint

if TYPE_CHECKING:
    from mmkd.api.training import Result

PREFIX = 'architecture.'
# A distillation algorithm saves these beside its student.
OTHER_PREFIXES = ('distiller.', 'teacher.', 'data_preprocessor.')
# A plain model has no use for the training log and the config of the distillation.
KEPT_META = ('dataset_meta', 'epoch', 'iter', 'mmengine_version', 'seed', 'time')


def export(
    checkpoint: str | PathLike[str] | Result,
    out: str | PathLike[str],
    config: str | PathLike[str] | Config | None = None,
) -> Path:
    """Write the student of a distillation as a plain checkpoint.

    MMDetection or MMPretrain then load it without mmkd's distillation code.

    Args:
        checkpoint: Checkpoint of a distillation run, a file or URL; or the result of
            :func:`mmkd.distill`.
        out: File to write, such as ``'student.pth'``.
        config: The run's config, a file or a ``Config``: also write the student's plain config
            beside ``out``, as a ``.py`` file of the same name. A result brings its own. Default:
            write no config.

    Returns:
        The file of the checkpoint.

    Raises:
        FileNotFoundError: If there is no such checkpoint.
        ValueError: If the checkpoint has no student.
        OSError: If ``out`` cannot be written. An older file of that name stays whole.

    Example:
        >>> mmkd.export('work_dirs/run/epoch_12.pth', 'student.pth')  # doctest: +SKIP
    """
    path = Path(out)
    if isinstance(checkpoint, str | PathLike):
        save_atomically(_student_checkpoint(str(checkpoint)), path)
    else:
        save_atomically(read_checkpoint(str(checkpoint.checkpoint)), path)
        config = checkpoint.config if config is None else config
    if config is not None:
        cfg = config if isinstance(config, Config) else Config.fromfile(config)
        student_config(cfg).dump(path.with_suffix('.py'))
    return path


def _student_checkpoint(path: str) -> dict[str, Any]:
    loaded = read_checkpoint(path)
    state_dict = loaded.get('state_dict', loaded)
    if not has_student(state_dict):
        raise ValueError(
            f'checkpoint: {path} has no student (no name starts with {PREFIX}); is it exported '
            'already?'
        )
    meta = {key: value for key, value in loaded.get('meta', {}).items() if key in KEPT_META}
    return dict(meta=meta, state_dict=student_state_dict(state_dict))


def student_config(cfg: Config) -> Config:
    """Return the config with the student in place of the distillation.

    Data, preprocessing, schedule and evaluation stay. A config without a student is returned as it
    is.

    Args:
        cfg: Config of a distillation.
    """
    if 'architecture' not in cfg.model:
        return cfg
    # A method's base config leaves its distiller at the top as well.
    plain = Config({k: v for k, v in cfg._cfg_dict.to_dict().items() if k != 'distiller'})
    algorithm = plain.model
    if 'cfg_path' in algorithm.architecture:
        plain.model, scope = model_config(**algorithm.architecture)
        if scope is not None:
            plain.setdefault('default_scope', scope)
    else:
        plain.model = algorithm.architecture
    # The config's preprocessor belongs to the algorithm and replaces the student's.
    preprocessor = algorithm.get('data_preprocessor') or plain.get('data_preprocessor')
    if preprocessor is not None:
        plain.model.data_preprocessor = preprocessor
    return plain


def has_student(state_dict: Mapping[str, Any]) -> bool:
    """Whether these tensors belong to a distillation, not to a plain model."""
    return any(name.removeprefix('module.').startswith(PREFIX) for name in state_dict)


def student_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the student's tensors under their plain names.

    Args:
        state_dict: Tensors of a distillation, or of a plain model, which are returned unchanged.

    Raises:
        ValueError: If a tensor belongs neither to the student nor to the distillation.

    Example:
        >>> student_state_dict({'architecture.neck.architecture.w': 1, 'distiller.w': 2})
        {'neck.architecture.w': 1}
    """
    distilled = has_student(state_dict)
    state_dict = {name.removeprefix('module.'): value for name, value in state_dict.items()}
    if not distilled:
        return state_dict
    foreign = [n for n in state_dict if not n.startswith((PREFIX, *OTHER_PREFIXES))]
    if foreign:
        raise ValueError(
            f'checkpoint: expected names that start with {PREFIX} or {OTHER_PREFIXES}, '
            f'got {foreign[:5]}'
        )
    return {n.removeprefix(PREFIX): v for n, v in state_dict.items() if n.startswith(PREFIX)}
