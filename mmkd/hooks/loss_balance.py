"""Distillation losses whose gradients stay in proportion to the task's."""

import math
from collections.abc import Mapping
from typing import Any

import torch
from mmengine.dist import all_reduce
from mmengine.hooks import Hook
from mmengine.runner import Runner

from mmkd.functional.checks import check_positive, check_positive_int
from mmkd.hooks.distilling_model import check_losses, distilling_model
from mmkd.models.loss_names import loss_name
from mmkd.registry import HOOKS

STATE = 'loss_balance'


@HOOKS.register_module()
class LossBalanceHook(Hook):
    r"""Hold the gradient of each distillation loss at a chosen ratio to the task's.

    Published loss weights fit published schedules. On other data, or with a shorter schedule, the
    same weight can drown the task or do nothing. This hook measures, every ``interval`` iterations,
    the gradients of the task and of each distillation loss at the features where the loss enters
    (see :func:`mmkd.algorithms.gradient_norms.gradient_norms`). It multiplies the loss by

    .. math:: f = \text{ratio} \cdot \frac{\lVert g_\text{task} \rVert}{\lVert g_\text{loss} \rVert}

    smoothed over measurements in its logarithm. The ``loss_weight`` of the loss then has no effect,
    and the loss is off before the first measurement.
    Factors of :class:`LossScheduleHook` still apply on top. All processes use the same factors. A
    resumed run continues them. Factors are logged as ``balance/NAME``.

    Args:
        ratio: Norm of the loss's gradient over that of the task's; one number for all losses, or a
            dict by loss (``pcka`` or ``loss_pcka``), whose missing losses keep their weights.
            Default: 1.0.
        interval: Iterations between two measurements. Each costs a backward pass of the student's
            head. The first ones come sooner, after 0, 1, 2, 4, 8, ... iterations. Default: 100.
        momentum: Share of the old value in the smoothed factor. Default: 0.8.
        warmup: Share of the training, over which the ratio rises linearly from 0. Default: 0.05.
        limit: A factor stays within this many times its first value, either way, so a loss that
            has been learned does not turn into noise. Default: 10.

    Raises:
        ValueError: If an argument is out of its range. Before training, if the model has no
            distiller or no loss of a given name.

    Example:
        >>> custom_hooks = [dict(type='mmkd.LossBalanceHook', ratio=0.5)]
    """

    def __init__(
        self,
        ratio: float | Mapping[str, float] = 1.0,
        interval: int = 100,
        momentum: float = 0.8,
        warmup: float = 0.05,
        limit: float = 10.0,
    ) -> None:
        given = ratio if isinstance(ratio, Mapping) else {'': ratio}
        for name, value in given.items():
            check_positive(f'ratio.{name}' if name else 'ratio', value)
        check_positive_int('interval', interval)
        for name, value in dict(momentum=momentum, warmup=warmup).items():
            if not 0 <= value < 1:
                raise ValueError(f'{name}: expected a number in [0, 1), got {value!r}')
        if not limit >= 1:
            raise ValueError(f'limit: expected a number of at least 1, got {limit!r}')
        self.ratio, self.interval, self.momentum = ratio, interval, momentum
        self.warmup, self.limit = warmup, limit

    def before_train(self, runner: Runner) -> None:
        """Find the losses, and continue the factors of a resumed run."""
        self.model = distilling_model(runner, self)
        if isinstance(self.ratio, Mapping):
            self.ratios = {loss_name(name): value for name, value in self.ratio.items()}
        else:
            self.ratios = dict.fromkeys(self.model.distiller.distill_losses, self.ratio)
        check_losses('ratio', self.ratios, self.model)
        # Of each loss: first and smoothed logarithm of its factor, number of measurements.
        self.state: dict[str, list[float]] = runner.message_hub.runtime_info.get(STATE, {})

    def before_train_iter(self, runner: Runner, batch_idx: int, data_batch: Any = None) -> None:
        """Set the factors of this iteration, and ask for a measurement if one is due."""
        self.model.measure_gradients = self._due(runner.iter)
        length = self.warmup * runner.max_iters
        ramp = min(1.0, (runner.iter + 1) / length) if length else 1.0
        for name in self.ratios:
            # Until the first measurement nobody knows how strong the loss is, so it waits.
            factor = ramp * math.exp(self.state[name][1]) if name in self.state else 0.0
            self.model.balance_factors[name] = factor
            runner.message_hub.update_scalar(f'train/balance/{name}', factor)

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Update the factors by the measurement of this iteration, if there was one."""
        pulls = {k: v for k, v in self.model.gradient_norms.items() if k in self.ratios}
        self.model.gradient_norms = {}
        if not pulls:
            return
        norms = torch.stack([torch.stack(pull) for pull in pulls.values()])
        all_reduce(norms, 'mean')
        for name, (task, loss) in zip(pulls, norms.tolist(), strict=True):
            if task == 0 and name not in self.state:
                self._give_up(runner, name)
            # Without a gradient, or with an overflow of mixed precision, nothing can be learned.
            elif 0 < task < math.inf and 0 < loss < math.inf:
                self._learn(name, math.log(self.ratios[name] * task / loss))
        runner.message_hub.update_info(STATE, self.state)

    def _give_up(self, runner: Runner, name: str) -> None:
        runner.logger.warning(
            f'LossBalanceHook: {name} keeps its own weight, because the task has no gradient where '
            'this loss enters'
        )
        del self.ratios[name]
        del self.model.balance_factors[name]

    def _due(self, iteration: int) -> bool:
        early = iteration < self.interval and iteration & (iteration - 1) == 0
        return early or iteration % self.interval == 0

    def _learn(self, name: str, measured: float) -> None:
        first, value, count = self.state.get(name, (measured, measured, 0))
        # While few are known, their plain mean.
        share = max(1 - self.momentum, 1 / (count + 1))
        value += share * (measured - value)
        bound = math.log(self.limit)
        value = min(max(value, first - bound), first + bound)
        self.state[name] = [first, value, count + 1]
