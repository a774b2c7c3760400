"""The student of a distillation as a plain model of MMDetection or MMPretrain."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from os import PathLike
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mmengine.config import Config
from mmengine.logging import print_log
from mmengine.registry import DefaultScope
from torch import Tensor

import mmkd.registry  # noqa: F401
from mmkd.models.building import build_model, model_config
from mmkd.plain_config import without_mmkd
from mmkd.storage.atomic_write import save_atomically, write_atomically
from mmkd.storage.checkpoint import load_all, read_checkpoint
from mmkd.version import __version__

if TYPE_CHECKING:
    from mmkd.api.training import Result

PREFIX = 'architecture.'
# A distillation algorithm saves these beside its student.
OTHER_PREFIXES = ('distiller.', 'teacher.', 'data_preprocessor.')
# A plain model has no use for the training log and the config of the distillation.
KEPT_META = ('dataset_meta', 'epoch', 'iter', 'mmengine_version', 'seed', 'time')
# What tells an earlier export, which may be replaced, from any other file.
MARK = 'exported_by'
HEADER = '# The plain config of a student, written by mmkd export.\n'


def export(
    checkpoint: str | PathLike[str] | Result,
    out: str | PathLike[str],
    config: str | PathLike[str] | Config | None = None,
    overwrite: bool = False,
    **onnx: Any,
) -> Path:
    """Write the student of a distillation as a plain checkpoint, or as an ONNX file.

    MMDetection or MMPretrain then load it without mmkd. If the run averaged its weights
    (``EMAHook``), the student has the averaged ones, which the run evaluated.

    If ``out`` ends in ``.onnx``, the student is written as an ONNX file, after onnxruntime gave the
    predictions of PyTorch on validation images. A card (``.md``) and a record (``.json``) lie
    beside it. This needs the extra ``onnx``; a plain model's checkpoint and config are fine, too.

    Args:
        checkpoint: Checkpoint of a distillation run, a file or URL; or the result of
            :func:`mmkd.distill`.
        out: File to write, such as ``'student.pth'`` or ``'student.onnx'``.
        config: The run's config, a file or a ``Config``: also write the student's plain config
            beside ``out``, as a ``.py`` file of the same name. A result brings its own. Default:
            write no config. If a part of the student exists in mmkd alone, such as
            ``mmkd.CIFARResNet``, the config keeps its import of mmkd, and a warning names the part.
            An ONNX file needs the config, which is not written.
        overwrite: Replace files that are no earlier exports, too; never the run's own.
        onnx: Of an ONNX file alone: ``size``, ``input``, ``raw`` and ``evaluate`` of
            :func:`mmkd.deploy.export_onnx.export_onnx`.

    Returns:
        The file of the checkpoint, or the ONNX file.

    Raises:
        FileExistsError: If ``out``, or the config beside it, is a folder or a file of the user's.
        FileNotFoundError: If there is no such checkpoint.
        ImportError: If packages of the extra ``onnx`` are missing.
        ValueError: If the checkpoint has no student, ``out`` is one of the inputs, the model cannot
            be exported to ONNX, or onnxruntime gives other predictions than PyTorch.
        OSError: If ``out`` cannot be written. An older file of that name stays whole.

    Example:
        >>> mmkd.export('work_dirs/run/epoch_12.pth', 'student.pth')  # doctest: +SKIP
    """
    path = Path(out)
    if isinstance(checkpoint, str | PathLike):
        source = str(checkpoint)
    else:
        source = str(checkpoint.checkpoint)
        config = checkpoint.config if config is None else config
    if config is not None and not isinstance(config, Config):
        config = Config.fromfile(config)
    if path.suffix == '.onnx':
        return _export_onnx(source, path, config, overwrite=overwrite, **onnx)
    if onnx:
        raise ValueError(f'{", ".join(onnx)}: expected a target such as student.onnx, got {path}')
    targets = [path] if config is None else [path, path.with_suffix('.py')]
    inputs = {'checkpoint': source, 'config': getattr(config, 'filename', None)}
    _check_targets(targets, {name: file for name, file in inputs.items() if file}, overwrite)
    student = _student_checkpoint(source, plain=not isinstance(checkpoint, str | PathLike))
    if config is not None:
        plain_config = student_config(config)
        _check_fit(plain_config, student['state_dict'], source)
        plain, needed = without_mmkd(plain_config)
        write_atomically((HEADER + plain.pretty_text).encode(), targets[-1])
        if needed:
            print_log(
                f'{targets[-1]} still imports mmkd, because nothing else has {", ".join(needed)}',
                'current',
                level=logging.WARNING,
            )
    save_atomically(student, path)
    return path


def _export_onnx(source: str, path: Path, config: Config | None, **options: Any) -> Path:
    if config is None:
        raise ValueError(
            f"config: expected the run's config (--config), whose model and validation images "
            f'{path} needs, got none'
        )
    from mmkd.deploy.export_onnx import export_onnx  # late, as it evaluates

    export_onnx(source, path, config, **options)
    return path


def _check_fit(config: Config, state_dict: Mapping[str, Any], source: str) -> None:
    """Stop at the config of another model, which the checkpoint does not fit."""
    with DefaultScope.overwrite_default_scope(config.get('default_scope', 'mmengine')):
        model = build_model(config.model)
    load_all(model, state_dict, source)


def _check_targets(targets: list[Path], inputs: Mapping[str, str], overwrite: bool) -> None:
    if targets[0].suffix == '.py':
        raise ValueError(f'out: expected the file of a checkpoint, such as .pth, got {targets[0]}')
    for target in targets:
        for name, file in inputs.items():
            if target.exists() and Path(file).exists() and target.samefile(file):
                raise ValueError(
                    f'out: {target} would replace the {name} {file}; choose another name'
                )
        if target.is_dir():
            raise FileExistsError(f'out: expected a file, got the folder {target}')
        if target.exists() and not (overwrite or _is_export(target)):
            raise FileExistsError(
                f'out: {target} exists and is no earlier export; choose another name, '
                'or overwrite=True (--overwrite)'
            )


def _is_export(path: Path) -> bool:
    """Whether an earlier export wrote this file."""
    if path.suffix == '.py':
        return path.read_bytes().startswith(HEADER.encode())
    try:
        return MARK in read_checkpoint(path).get('meta', {})
    except (ValueError, OSError, TypeError):
        return False


def _student_checkpoint(path: str, plain: bool) -> dict[str, Any]:
    loaded = read_checkpoint(path)
    meta, state_dict = loaded.get('meta'), loaded.get('state_dict', loaded)
    meta = meta if isinstance(meta, Mapping) else {}
    tensors = [n for n, v in state_dict.items() if isinstance(v, Tensor)] if state_dict else []
    if not tensors:
        raise ValueError(
            f'checkpoint: expected the weights of a distillation in {path}, got no tensors but '
            f'{sorted(map(str, loaded))}'
        )
    if not plain and not has_student(state_dict):
        what = 'an export: it is plain already' if MARK in meta else 'a plain model'
        raise ValueError(
            f'checkpoint: {path} has no student (no name starts with {PREFIX}, the first is '
            f'{tensors[0]}); it looks like the checkpoint of {what}; expected that of a '
            'distillation, such as work_dirs/RUN/epoch_12.pth'
        )
    meta = {key: value for key, value in meta.items() if key in KEPT_META}
    meta[MARK] = f'mmkd {__version__}'
    return dict(meta=meta, state_dict=student_state_dict(state_dict))


def student_config(cfg: Config) -> Config:
    """Return the config with the student in place of the distillation.

    Data, preprocessing, schedule and evaluation stay. A config without a student is returned as it
    is.

    Args:
        cfg: Config of a distillation.

    Raises:
        ValueError: If the config has no model.
    """
    if not isinstance(cfg.get('model'), Mapping):
        raise ValueError(f'config: expected a `model`, got only {[*cfg]}')
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
