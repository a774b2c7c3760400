"""A training schedule of another length."""

from collections.abc import Mapping
from typing import Any

from mmengine.config import Config

# The settings of a parameter scheduler that count epochs.
EPOCHS = ('begin', 'end', 'T_max', 'milestones')
TO_THE_END = 10**9  # how MMEngine spells it


def epoch_settings(cfg: Config, epochs: int) -> dict[str, Any]:
    """Return settings that train for another number of epochs and stretch the schedulers.

    Schedulers that count iterations, such as a warm-up, stay as they are.

    Args:
        cfg: Config of the student's training.
        epochs: Number of epochs.

    Raises:
        ValueError: If the config trains by iterations, or ``epochs`` is not positive.
    """
    if epochs < 1:
        raise ValueError(f'epochs: expected a positive number, got {epochs}')
    old = cfg.train_cfg.get('max_epochs')
    if old is None:
        raise ValueError(
            "epochs: expected a student's config that trains by epochs, got one of "
            f'{cfg.train_cfg.get("max_iters")} iterations'
        )
    train_cfg = dict(max_epochs=epochs)
    if cfg.train_cfg.get('val_interval', 1) > epochs:
        train_cfg['val_interval'] = epochs
    settings: dict[str, Any] = dict(train_cfg=train_cfg)
    if epochs != old and cfg.get('param_scheduler'):
        schedulers = cfg.param_scheduler
        schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers
        stretched = [_stretched(scheduler, epochs / old) for scheduler in schedulers]
        # A warm-up of less than half an epoch is left out.
        settings['param_scheduler'] = [s for s in stretched if s.get('begin', 0) != s.get('end')]
    return settings


def late_hooks(cfg: Config, epochs: int | None) -> str:
    """Name the config's hooks that switch the data after the last epoch, and so never act.

    Args:
        cfg: Config of the student's training.
        epochs: Number of epochs; None keeps the config's own.
    """
    hooks = cfg.get('custom_hooks') or ()
    late = [h for h in hooks if epochs is not None and h.get('switch_epoch', 0) >= epochs]
    return ', '.join(f'{hook.type} at epoch {hook.switch_epoch}' for hook in late)


def _stretched(scheduler: Mapping[str, Any], factor: float) -> dict[str, Any]:
    # MMEngine marks each dict that comes from a package's config.
    stretched = {key: value for key, value in scheduler.items() if key != '_scope_'}
    if scheduler.get('by_epoch', True):
        for key in EPOCHS:
            if key in scheduler:
                stretched[key] = _scaled(scheduler[key], factor, key in ('begin', 'end'))
    return stretched


def _scaled(value: Any, factor: float, may_be_zero: bool) -> Any:
    if isinstance(value, list | tuple):
        return [_scaled(item, factor, may_be_zero) for item in value]
    if not 0 < value < TO_THE_END:
        return value
    return max(0 if may_be_zero else 1, round(value * factor))
