"""A learning rate that falls when the training loss stops falling."""

import math
from typing import Any

import torch
from mmengine import dist
from mmengine.logging import MessageHub
from mmengine.optim import _ParamScheduler
from mmengine.optim.scheduler.lr_scheduler import LRSchedulerMixin

from mmkd.functional.checks import check_non_negative
from mmkd.registry import PARAM_SCHEDULERS


@PARAM_SCHEDULERS.register_module()
class ALRS(LRSchedulerMixin, _ParamScheduler):
    """Lower the learning rate after each epoch whose loss fell too little.

    RCKA trains with it on CIFAR-100 and ImageNet (Zhou et al., IJCAI 2024, App. B:
    <https://arxiv.org/abs/2401.11824>). The schedule is that of Chen et al., "Bootstrap
    Generalization Ability from Loss Landscape Perspective", 2022:
    <https://arxiv.org/abs/2209.08473>. An epoch's loss is its mean over the iterations of all
    processes. It is compared with the loss of the epoch before; the first epoch lowers nothing.

    The scheduler reads the losses that MMEngine logs, so it works in a runner only. Checkpoints
    hold its state.

    Args:
        optimizer: Optimizer or its wrapper. MMEngine's runner passes it.
        factor: Factor of the learning rate, in (0, 1).
        threshold: The loss fell enough if it fell by at least this much, >= 0.
        relative_threshold: The loss fell enough if it fell by at least this share, >= 0.
        monitor: Name of the logged training loss. ``'loss'`` is the sum of all.
        **kwargs: ``begin``, ``end`` (epochs), ``last_step`` and ``verbose`` of MMEngine's
            schedulers.

    Raises:
        ValueError: If an argument is out of range, or ``by_epoch=False``.
        KeyError: After an epoch, if no loss ``monitor`` was logged.

    Example:
        >>> param_scheduler = dict(type='mmkd.ALRS', factor=0.97)
    """

    def __init__(
        self,
        optimizer: Any,
        factor: float = 0.97,
        threshold: float = 0.02,
        relative_threshold: float = 0.02,
        monitor: str = 'loss',
        **kwargs: Any,
    ) -> None:
        if not 0 < factor < 1:
            raise ValueError(f'factor: expected a number between 0 and 1, got {factor!r}')
        check_non_negative('threshold', threshold)
        check_non_negative('relative_threshold', relative_threshold)
        if not kwargs.get('by_epoch', True):
            raise ValueError('by_epoch: expected True, as ALRS compares epochs, got False')
        self.factor = factor
        self.threshold = threshold
        self.relative_threshold = relative_threshold
        self.monitor = monitor
        self.previous = math.inf
        self._stalled = False
        self._iterations = 0
        super().__init__(optimizer, **kwargs)

    def step(self) -> None:
        """Compare the epoch's loss with the one before, and lower the learning rate if it stalls.

        MMEngine's ``ParamSchedulerHook`` calls it after each epoch.
        """
        if self._global_step >= 0:  # the constructor calls it once, before any epoch
            loss = self._epoch_loss()
            fell = self.previous - loss
            self._stalled = fell < self.threshold and fell < self.relative_threshold * self.previous
            self.previous = loss
        super().step()

    def _get_value(self) -> list[float]:
        factor = self.factor if self._stalled else 1.0
        return [factor * group[self.param_name] for group in self.optimizer.param_groups]

    def _epoch_loss(self) -> float:
        """Mean loss of the iterations since the last step, over all processes."""
        hub = MessageHub.get_current_instance()
        key = f'train/{self.monitor}'
        if key not in hub.log_scalars:
            known = [name.removeprefix('train/') for name in hub.log_scalars if 'loss' in name]
            raise KeyError(
                f'monitor: expected one of the logged losses {known}, got {self.monitor!r}'
            )
        done = hub.get_info('iter') + 1
        losses, counts = hub.get_scalar(key).data
        recent = slice(-(done - self._iterations), None)
        self._iterations = done
        sums = torch.tensor([(losses * counts)[recent].sum(), counts[recent].sum()])
        dist.all_reduce(sums)
        return float(sums[0] / sums[1])
