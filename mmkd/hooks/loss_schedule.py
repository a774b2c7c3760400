"""Distillation losses that come and go with the training."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any

from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner import IterBasedTrainLoop

from mmkd.registry import HOOKS

# What is left of a factor, by the share of the decay that lies ahead: 1 at its begin, 0 at its end.
_DECAYS = {
    'linear': lambda ahead: ahead,
    'cosine': lambda ahead: (1 - math.cos(math.pi * ahead)) / 2,
}


@dataclass(frozen=True, kw_only=True)
class _Schedule:
    """The factor of one loss as a function of time; see :class:`LossScheduleHook`."""

    begin: float = 0
    warmup: float = 0
    decay: str | None = None
    decay_begin: float | None = None
    end: float = math.inf

    def __post_init__(self) -> None:
        if not (self.begin >= 0 and self.warmup >= 0):
            raise ValueError(
                f'expected begin and warmup of at least 0, got {self.begin} and {self.warmup}'
            )
        if self.decay is None and self.decay_begin is not None:
            raise ValueError(f'decay_begin: expected a decay, one of {[*_DECAYS]}, got none')
        if self.decay is not None and self.decay not in _DECAYS:
            raise ValueError(f'decay: expected one of {[*_DECAYS]}, got {self.decay!r}')
        if self.decay is not None and math.isinf(self.end):
            raise ValueError('decay: expected an end, got none')
        if not (self._warm <= self._decay_begin <= self.end and self.begin < self.end):
            raise ValueError(
                'expected begin < end and begin + warmup <= decay_begin <= end, got '
                f'begin={self.begin}, warmup={self.warmup}, decay_begin={self.decay_begin}, '
                f'end={self.end}'
            )

    @property
    def is_constant(self) -> bool:
        """Whether the factor is 1 at all times."""
        return self == _Schedule()

    @property
    def _warm(self) -> float:
        return self.begin + self.warmup

    @property
    def _decay_begin(self) -> float:
        return self._warm if self.decay_begin is None else self.decay_begin

    def factor(self, time: float) -> float:
        """The factor at a time, in the units of the schedule."""
        if not self.begin <= time < self.end:
            return 0.0
        if time < self._warm:
            return (time - self.begin) / self.warmup
        if self.decay is None or time < self._decay_begin:
            return 1.0
        return _DECAYS[self.decay]((self.end - time) / (self.end - self._decay_begin))


def _schedule(name: str, config: Mapping[str, Any]) -> _Schedule:
    keys = [field.name for field in fields(_Schedule)]
    unknown = [key for key in config if key not in keys]
    if unknown:
        raise ValueError(f'losses.{name}: expected some of {keys}, got {unknown}')
    try:
        return _Schedule(**config)
    except ValueError as error:
        raise ValueError(f'losses.{name}: {error}') from error


@HOOKS.register_module()
class LossScheduleHook(Hook):
    """Multiply distillation losses by factors that follow the training's progress.

    A factor is 0 before ``begin``, rises linearly to 1 over ``warmup``, stays there, falls to 0
    from ``decay_begin`` to ``end``, and is 0 from then on. It depends on the number of the
    iteration alone, so that a resumed run continues it. While the factors of all losses are 0, the
    teacher does not run. Factors that change are logged as ``factor/NAME``, averaged as the losses.

    Args:
        losses: For each loss, by its name in ``distill_losses``, a dict of ``begin`` (default 0),
            ``warmup`` (how long; default 0), ``end`` (default: never), ``decay`` (``'linear'`` or
            ``'cosine'``; default None: none, ``end`` is a plain stop) and ``decay_begin`` (default:
            after the warm-up). Losses that are not named keep the factor 1.
        by_epoch: Count in epochs, which may be fractions. Default True. False: in iterations,
            which a loop without epochs needs.

    Raises:
        ValueError: If a loss has another key, or numbers that contradict each other; before
            training, if the model has no such loss, or the training loop no epochs.

    Example:
        >>> hook = LossScheduleHook(losses=dict(loss_pcka=dict(warmup=2, decay='linear', end=22)))
    """

    def __init__(self, losses: Mapping[str, Mapping[str, Any]], by_epoch: bool = True) -> None:
        self.schedules = {name: _schedule(name, config) for name, config in losses.items()}
        self.by_epoch = by_epoch

    def before_train(self, runner) -> None:
        """Check that the model has the losses, and the loop epochs if they are counted."""
        self.model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(self.model, 'loss_factors'):
            raise ValueError(
                'LossScheduleHook: expected a model with a distiller (mmkd.FrozenTeacherDistill), '
                f'got {type(self.model).__name__}'
            )
        known = [*self.model.distiller.distill_losses]
        unknown = [name for name in self.schedules if name not in known]
        if unknown:
            raise ValueError(f'losses: expected some of {known}, got {unknown}')
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'by_epoch: expected False, as an iteration-based loop has no epochs, got True'
            )

    def before_train_iter(self, runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the factors of this iteration."""
        time = runner.iter / len(runner.train_dataloader) if self.by_epoch else runner.iter
        for name, schedule in self.schedules.items():
            factor = schedule.factor(time)
            self.model.loss_factors[name] = factor
            if not schedule.is_constant:
                runner.message_hub.update_scalar(f'train/factor/{name}', factor)
