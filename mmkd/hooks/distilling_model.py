"""The model of hooks that steer distillation losses."""

from collections.abc import Iterable
from typing import Any

from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.models.model_wrapper import unwrap_model


def distilling_model(runner: Runner, hook: Hook) -> Any:
    """Return the run's algorithm.

    Raises:
        ValueError: If the model has no distiller of mmkd; the error names the hook.
    """
    model = unwrap_model(runner.model)
    if not hasattr(model, 'loss_factors'):
        raise ValueError(
            f'{type(hook).__name__}: expected a model with a distiller (mmkd.FrozenTeacherDistill),'
            f' got {type(model).__name__}'
        )
    return model


def check_losses(argument: str, names: Iterable[str], model: Any) -> None:
    """Raise ValueError, naming ``argument``, if the model has no distillation loss of a name."""
    known = [*model.distiller.distill_losses]
    if unknown := [name for name in names if name not in known]:
        raise ValueError(f'{argument}: expected some of {known}, got {unknown}')
