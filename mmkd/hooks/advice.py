"""Early warnings of a distillation that goes wrong, each with what to try."""

import json
from collections import Counter
from collections.abc import Mapping
from numbers import Real
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.hooks import Hook
from mmengine.runner import Runner
from torch import Tensor

from mmkd.functional.checks import check_positive, check_positive_int
from mmkd.hooks.distilling_model import distilling_model
from mmkd.hooks.teacher_evaluation import TeacherEvaluationHook
from mmkd.registry import HOOKS
from mmkd.storage.atomic_write import write_atomically

FILE = 'advice.json'
# A loss that is left with more than this share of its first value has not fallen.
FALLEN = 0.98
# Windows after which a loss should have fallen.
WINDOWS = 3
# Metrics in percent; all others are shares.
PERCENT = 'accuracy/'


def read_advice(work_dir: str | Path) -> list[dict[str, Any]]:
    """Return what the hook said in a run: ``kind``, ``text``, ``epoch`` and ``iteration`` of each.

    Args:
        work_dir: Work directory of the run.

    Returns:
        The warnings in their order; none if there is no ``advice.json``, or it is damaged.
    """
    try:
        given = json.loads(Path(work_dir, FILE).read_bytes())
    except (OSError, ValueError, RecursionError):
        return []
    keys = {'kind': str, 'text': str, 'epoch': int, 'iteration': int}
    return [
        each
        for each in (given if isinstance(given, list) else [])
        if isinstance(each, dict) and all(isinstance(each.get(k), t) for k, t in keys.items())
    ]


@HOOKS.register_module()
class AdviceHook(Hook):
    """Warn once, as early as it shows, of what usually makes a distillation fail.

    The hook warns if

    - the teacher is weak on the validation data, or no better than the student
      (with :class:`TeacherEvaluationHook`);
    - the distillation losses dwarf the task's;
    - a distillation loss has not fallen after three windows of iterations;
    - the student is still at 0 in its first evaluation.

    Each warning says what to try, and stands in ``advice.json`` of the work directory, which
    :func:`mmkd.report` shows. The run goes on. Each window costs a few device syncs.

    Args:
        window: Iterations over which losses are averaged. Default: 100.
        dominance: Warn if the sum of the distillation losses is more than this many times that of
            the task. Default: 10.
        weak: Warn if no metric of the teacher reaches this share. Default: 0.05.

    Raises:
        ValueError: If an argument is out of range, or the model has no distiller.

    Example:
        >>> custom_hooks = [dict(type='mmkd.AdviceHook')]
    """

    priority = 'VERY_LOW'  # after the teacher was evaluated

    def __init__(self, window: int = 100, dominance: float = 10.0, weak: float = 0.05) -> None:
        check_positive_int('window', window)
        check_positive('dominance', dominance)
        check_positive('weak', weak)
        self.window, self.dominance, self.weak = window, dominance, weak
        self.given: list[dict[str, Any]] = []

    def before_train(self, runner: Runner) -> None:
        """Judge the teacher before the first step. A resumed run keeps what was said before."""
        self.model = distilling_model(runner, self)
        earlier = read_advice(runner.work_dir) if runner.iter > 0 else []
        self.given = [each for each in earlier if each['iteration'] <= runner.iter]
        if is_main_process():
            _write(self.given, runner)
        self._begin_window()
        # Losses of the first window; a resumed run cannot know them.
        self._first: dict[str, float] | None = {} if runner.iter == 0 else None
        self._windows = 0
        for who, metrics in _teachers(runner).items():
            shares = [_share(name, value) for name, value in metrics.items()]
            if shares and max(shares) < self.weak:
                found = ', '.join(f'{name} {value:.4g}' for name, value in metrics.items())
                self._advise(
                    runner,
                    f'weak {who}',
                    f'{who} is weak on the validation data ({found}); check '
                    'teacher_checkpoint, its classes and image_size, or train the teacher on your '
                    'data first',
                )

    def after_train_iter(
        self, runner: Runner, batch_idx: int, data_batch: Any = None, outputs: dict | None = None
    ) -> None:
        """Add up the losses, and judge them after each window."""
        for name, value in (outputs or {}).items():
            group, _, loss = name.partition('.')
            if group in self._totals and 'loss' in loss:
                value = value.detach() if isinstance(value, Tensor) else value
                self._totals[group] += value
                factor = self.model.loss_factor(loss)
                if group == 'distill' and factor:
                    self._sums[loss] = self._sums.get(loss, 0.0) + value / factor
                    self._counts[loss] += 1
        if self.every_n_train_iters(runner, self.window):
            self._windows += 1
            self._judge_size(runner)
            self._judge_progress(runner)
            self._begin_window()

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
        """Judge the student, alone and against its teacher."""
        student = {k: float(v) for k, v in (metrics or {}).items() if isinstance(v, Real)}
        if max(student.values(), default=0.0) <= 0:
            self._advise(
                runner,
                'zero',
                'the student is at 0 on the validation data; train it alone for as long '
                "(method='student'), and lower the weights if it learns then "
                '(method_options=dict(loss_weight=...); docs: "The student\'s AP stays at 0")',
            )
        for who, teacher in _teachers(runner).items():
            both = [name for name in student if name in teacher]
            if both and all(teacher[name] <= student[name] for name in both):
                name = both[0]
                self._advise(
                    runner,
                    f'behind {who}',
                    f'{who} is no better than the student ({name}: {teacher[name]:.4g} and '
                    f'{student[name]:.4g}); a stronger teacher, or training without distillation, '
                    'will bring more',
                )

    def _begin_window(self) -> None:
        self._totals: dict[str, Any] = dict(student=0.0, distill=0.0)
        self._sums: dict[str, Any] = {}
        self._counts: Counter[str] = Counter()

    def _judge_size(self, runner: Runner) -> None:
        task, distillation = (float(self._totals[group]) for group in ('student', 'distill'))
        if distillation > self.dominance * task > 0:
            self._advise(
                runner,
                'dominance',
                f'the distillation losses are {distillation / task:.3g} times the losses of the '
                'task; lower their weight (method_options=dict(loss_weight=...)), or add '
                'mmkd.LossBalanceHook to custom_hooks, which sets it',
            )

    def _judge_progress(self, runner: Runner) -> None:
        if self._first is None or self._windows not in (1, WINDOWS):
            return
        means = {name: float(total) / self._counts[name] for name, total in self._sums.items()}
        if self._windows == 1:
            self._first = means
        for name, first in self._first.items() if self._windows == WINDOWS else ():
            last = means.get(name, 0.0)
            if last > FALLEN * first > 0:
                self._advise(
                    runner,
                    f'progress of {name}',
                    f'{name} has not fallen in {WINDOWS * self.window} iterations ({first:.4g}, '
                    f'then {last:.4g}); check the teacher, or raise the weight '
                    '(method_options=dict(loss_weight=...); docs: "The distillation loss does not '
                    'fall")',
                )

    def _advise(self, runner: Runner, kind: str, text: str) -> None:
        if any(each['kind'] == kind for each in self.given):
            return
        runner.logger.warning(f'advice: {text}')
        where = dict(epoch=runner.epoch, iteration=runner.iter)
        self.given.append(dict(kind=kind, text=text, **where))
        if is_main_process():
            _write(self.given, runner)


def _write(given: list[dict[str, Any]], runner: Runner) -> None:
    """Write the file; a run to which nothing was said has none."""
    path = Path(runner.work_dir, FILE)
    if given:
        write_atomically(f'{json.dumps(given, indent=2)}\n'.encode(), path)
    else:
        path.unlink(missing_ok=True)


def _teachers(runner: Runner) -> dict[str, dict[str, float]]:
    """Metrics of each teacher, if the run evaluates them."""
    found = {}
    for hook in runner.hooks:
        if isinstance(hook, TeacherEvaluationHook):
            found.update(hook.metrics)
    return found


def _share(name: str, value: float) -> float:
    return value / 100 if name.startswith(PERCENT) else value
