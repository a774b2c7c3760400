"""The student of a distillation run as a plain model of MMDetection or MMPretrain."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

from mmkd.models.building import model_config

PREFIX = 'architecture.'
# Of what configs are put together; the algorithm holds it as well.
PARTS = ('distiller', 'student_channels', 'teacher_channels')
# What a distillation algorithm saves beside its student.
OTHER_PREFIXES = ('distiller.', 'teacher.', 'data_preprocessor.')


def student_config(cfg: Config) -> Config:
    """Return ``cfg`` with its distillation algorithm replaced by the student alone.

    Data, preprocessing, schedule and evaluation stay; a config without a student is returned as
    it is.
    """
    if 'architecture' not in cfg.model:
        return cfg
    plain = Config({k: v for k, v in cfg._cfg_dict.to_dict().items() if k not in PARTS})
    algorithm = plain.model
    if 'cfg_path' in algorithm.architecture:
        plain.model, scope = model_config(**algorithm.architecture)
        if scope is not None:
            plain.setdefault('default_scope', scope)
    else:
        plain.model = algorithm.architecture
    # The algorithm's preprocessor, which the runner takes from the config, replaces the student's.
    preprocessor = algorithm.get('data_preprocessor') or plain.get('data_preprocessor')
    if preprocessor is not None:
        plain.model.data_preprocessor = preprocessor
    return plain


def has_student(state_dict: Mapping[str, Any]) -> bool:
    """Whether these are the tensors of a distillation algorithm, not those of a plain model."""
    return any(name.removeprefix('module.').startswith(PREFIX) for name in state_dict)


def student_state_dict(state_dict: Mapping[str, Any]) -> dict[str, Any]:
    """Return the student's part of a distillation checkpoint, under its plain names.

    Args:
        state_dict: Of a distillation algorithm, or of a plain model (returned unchanged).

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
