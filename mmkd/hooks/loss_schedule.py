"""Schedules for the weights of distillation losses."""

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal

from mmengine.hooks import Hook
from mmengine.runner import IterBasedTrainLoop, Runner

from mmkd.hooks.distilling_model import check_losses, distilling_model
from mmkd.models.loss_names import loss_name
from mmkd.registry import HOOKS

# The factor by the share of the decay that still lies ahead: 1 at the begin, 0 at the end.
_DECAYS = {
    'linear': lambda ahead: ahead,
    'cosine': lambda ahead: (1 - math.cos(math.pi * ahead)) / 2,
}


@dataclass(frozen=True, kw_only=True)
class _Schedule:
    """The factor of one loss as a function of time; see :class:`LossScheduleHook`."""

    begin: float = 0
    warmup: float = 0
    decay: Literal['linear', 'cosine'] | None = None
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
        """Whether the factor is always 1."""
        return self == _Schedule()

    @property
    def _warm(self) -> float:
        return self.begin + self.warmup

    @property
    def _decay_begin(self) -> float:
        return self._warm if self.decay_begin is None else self.decay_begin

    def factor(self, time: float) -> float:
        """Return the factor at ``time``, in the units of the schedule."""
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
    """Multiply each distillation loss by a factor that changes during training.

    The factor is 0 before ``begin``, rises linearly to 1 over ``warmup``, falls to 0 from
    ``decay_begin`` to ``end``, and stays 0. It depends only on the iteration number, so a resumed
    run continues it. The teacher does not run while the factors of all losses are 0. Factors that
    change are logged as ``factor/NAME``, averaged like the losses.

    Args:
        losses: One dict a loss, under its name (``pcka`` or ``loss_pcka``), with the keys
            ``begin`` (default 0), ``warmup`` (duration; default 0), ``end`` (default: never),
            ``decay`` (``'linear'`` or ``'cosine'``; default None: stop at ``end`` without decay)
            and ``decay_begin`` (default: after the warm-up). All other losses keep the factor 1.
        by_epoch: True (default) counts in epochs, which may be fractions. False counts in
            iterations; a training loop without epochs needs it.

    Raises:
        ValueError: If a loss has an unknown key or contradictory numbers. Before training, if the
            model has no loss of this name, or the training loop has no epochs.

    Example:
        >>> hook = LossScheduleHook(losses=dict(pcka=dict(warmup=2, decay='linear', end=22)))
    """

    def __init__(self, losses: Mapping[str, Mapping[str, Any]], by_epoch: bool = True) -> None:
        self.schedules = {loss_name(name): _schedule(name, of) for name, of in losses.items()}
        if len(self.schedules) < len(losses):
            raise ValueError(f'losses: expected each loss once, got {[*losses]}')
        self.by_epoch = by_epoch

    def before_train(self, runner: Runner) -> None:
        """Check that the model has the losses, and that the loop has epochs if they count."""
        self.model = distilling_model(runner, self)
        check_losses('losses', self.schedules, self.model)
        if self.by_epoch and isinstance(runner.train_loop, IterBasedTrainLoop):
            raise ValueError(
                'by_epoch: expected False, because an iteration-based loop has no epochs, got True'
            )

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the factors of this iteration."""
        time = runner.iter / len(runner.train_dataloader) if self.by_epoch else runner.iter
        for name, schedule in self.schedules.items():
            factor = schedule.factor(time)
            self.model.loss_factors[name] = factor
            if not schedule.is_constant:
                runner.message_hub.update_scalar(f'train/factor/{name}', factor)
