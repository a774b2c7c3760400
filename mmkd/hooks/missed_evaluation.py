"""Make up for an evaluation that a killed run did not finish."""

import json
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop, Runner

from mmkd.registry import HOOKS
from mmkd.storage.atomic_write import write_atomically

FILE = 'evaluations.json'


def evaluated_iterations(work_dir: str | Path) -> list[int]:
    """Return after which iterations a run was evaluated, from ``evaluations.json``."""
    try:
        content = json.loads(Path(work_dir, FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    kept = content if isinstance(content, list) else []
    return [iteration for iteration in kept if type(iteration) is int]


@HOOKS.register_module()
class MissedEvaluationHook(Hook):
    """Evaluate a resumed checkpoint whose evaluation is missing, before training goes on.

    A run may be killed after it saved a checkpoint and before it finished the evaluation that
    follows. Without this hook the metrics and the best checkpoint of that moment are lost. The hook
    lists finished evaluations in ``evaluations.json`` of the work directory. If the run is
    complete, the hook says so: nothing is trained or evaluated again.

    Example:
        >>> default_hooks = dict(missed_evaluation=dict(type='mmkd.MissedEvaluationHook'))
    """

    priority = 'LOWEST'  # all other hooks are ready for an evaluation, and have logged and saved it

    def __init__(self) -> None:
        self._evaluated: list[int] | None = None  # None: not in training

    def before_train(self, runner: Runner) -> None:
        """Evaluate the resumed checkpoint if that is due and was not done."""
        loop: Any = runner.train_loop
        kept = evaluated_iterations(_folder(runner)) if loop.iter > 0 else []
        self._remember(runner, [iteration for iteration in kept if iteration <= loop.iter])
        if loop.iter == 0:
            return
        if getattr(loop, 'trained_batches', 0) == len(loop.dataloader):
            loop.run_epoch()  # no batch is left, but the hooks at the end of the epoch
        if _is_due(runner) and loop.iter not in kept:
            runner.logger.info(
                f'The run ended before its evaluation after iteration {loop.iter}: evaluating now'
            )
            runner.val_loop.run()
        if _is_finished(loop):
            runner.logger.info(
                f'The run has finished its {loop.iter} iterations: nothing is left to train'
            )

    def after_val(self, runner: Runner) -> None:
        """List this evaluation."""
        if self._evaluated is not None and runner.iter not in self._evaluated:
            self._remember(runner, [*self._evaluated, runner.iter])

    def after_train(self, runner: Runner) -> None:
        """List no evaluations outside of training."""
        self._evaluated = None

    def _remember(self, runner: Runner, iterations: list[int]) -> None:
        self._evaluated = iterations
        if is_main_process() and evaluated_iterations(runner.work_dir) != iterations:
            write_atomically(json.dumps(iterations).encode(), Path(runner.work_dir, FILE))


def _folder(runner: Runner) -> Path:
    """Return the folder of the run that the checkpoint belongs to."""
    return Path(runner._load_from).parent if runner._load_from else Path(runner.work_dir)


def _is_due(runner: Runner) -> bool:
    """Whether the training loop evaluates at this point."""
    loop: Any = runner.train_loop
    if runner.val_loop is None:
        return False
    if isinstance(loop, IterBasedTrainLoop):
        now, end = loop.iter, loop.max_iters
    elif isinstance(loop, EpochBasedTrainLoop) and getattr(loop, 'trained_batches', 0) == 0:
        now, end = loop.epoch, loop.max_epochs
    else:
        return False
    loop._decide_current_val_interval()
    return now >= loop.val_begin and (now % loop.val_interval == 0 or now == end)


def _is_finished(loop: Any) -> bool:
    if isinstance(loop, IterBasedTrainLoop):
        return loop.iter >= loop.max_iters
    return loop.epoch >= loop.max_epochs
