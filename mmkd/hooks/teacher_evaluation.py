"""The teacher's own accuracy, beside the student's."""

import random
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from numbers import Real
from typing import Any

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.model import is_model_wrapper
from mmengine.runner.amp import autocast
from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to
from torch import Tensor

from mmkd.datasets.unwrap import unwrap
from mmkd.models.heads import classifying_heads
from mmkd.registry import HOOKS
from mmkd.teachers import FrozenTeacher

_SAVED = 'teacher_metrics'


@contextmanager
def _same_random_state(device: torch.device) -> Iterator[None]:
    """Whatever the block draws, the generators of this process go on as if it had not."""
    python, numpy = random.getstate(), np.random.get_state()
    with torch.random.fork_rng([device] if device.type == 'cuda' else []):
        yield
    random.setstate(python)
    np.random.set_state(numpy)


def _check_classes(teachers: Mapping[str, FrozenTeacher], dataset: Any) -> None:
    """Raise if a head of a teacher has not as many classes as the data set."""
    heads = {
        f'teacher.{prefix}{name}': head
        for prefix, teacher in teachers.items()
        for name, head in classifying_heads(teacher.model)
    }
    for part in unwrap(dataset):
        classes = getattr(part, 'metainfo', {}).get('classes')
        for key, head in heads.items():
            if classes is not None and head.num_classes != len(classes):
                raise ValueError(
                    f'TeacherEvaluationHook: expected a teacher of the {len(classes)} classes of '
                    f'the validation set, got {key} ({type(head).__name__}) with num_classes='
                    f'{head.num_classes}; leave the hook out'
                )


def _readable(sample: Any) -> Any:
    """A prediction as a dict without bfloat16, which NumPy and so most metrics do not know."""
    if isinstance(sample, BaseDataElement):
        sample = sample.to_dict()
    return apply_to(
        sample,
        lambda value: isinstance(value, Tensor) and value.dtype == torch.bfloat16,
        Tensor.float,
    )


def _evaluate(teacher: FrozenTeacher, loop: Any, device: torch.device) -> dict[str, float]:
    """The metrics, as far as they are numbers, of a teacher over a validation loop's data."""
    teacher.model.to(device)
    for batch in loop.dataloader:
        with autocast(enabled=loop.fp16):
            samples = teacher.predict(batch)
        loop.evaluator.process([_readable(sample) for sample in samples], batch)
    metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    return {name: float(value) for name, value in metrics.items() if isinstance(value, Real)}


@HOOKS.register_module()
class TeacherEvaluationHook(Hook):
    """Evaluate the teacher before training as the student is evaluated, and show both together.

    The teacher predicts on the images of the validation loader as they are loaded for the student,
    with its own data preprocessor and precision; ``val_evaluator`` measures. Its metrics are logged
    at step 0 as ``teacher/NAME``, those of several teachers as ``teacher/MEMBER/NAME``, and stand
    beside the student's in a line after each validation. They are saved in the checkpoints: a
    resumed run takes them from there. Measuring leaves the random state, and so the training, as
    it is. The validation set is built a second time, for as long as the teacher is evaluated.

    Raises:
        ValueError: Before training, if the model has no teacher, the run no validation, or a
            teacher another number of classes than the validation set.

    Example:
        >>> custom_hooks = [dict(type='mmkd.TeacherEvaluationHook')]
    """

    priority = 'LOW'  # after the check of the data, and after the student's metrics are logged

    def __init__(self) -> None:
        self.metrics: dict[str, dict[str, float]] = {}

    def before_train(self, runner) -> None:
        """Evaluate all teachers, or take their metrics from the resumed checkpoint."""
        model = runner.model.module if is_model_wrapper(runner.model) else runner.model
        if not hasattr(model, 'teacher'):
            raise ValueError(
                'TeacherEvaluationHook: expected a model with a teacher, got '
                f'{type(model).__name__}'
            )
        if runner.val_loop is None:
            raise ValueError('TeacherEvaluationHook: expected a run with validation, got none')
        teachers = model.teacher.by_prefix()
        _check_classes(teachers, runner.val_dataloader.dataset)
        saved = runner.message_hub.get_info(_SAVED) if runner.iter > 0 else None
        self.metrics = saved or self._measure(runner, teachers, next(model.parameters()).device)

    def after_val_epoch(self, runner, metrics: Mapping[str, Any] | None = None) -> None:
        """Log the metrics of student and teachers in one line."""
        parts = []
        for name, value in (metrics or {}).items():
            teachers = {who: of[name] for who, of in self.metrics.items() if name in of}
            if teachers:
                beside = {'student': value, **teachers}
                parts.append(f'{name}: ' + ', '.join(f'{w} {v:.4f}' for w, v in beside.items()))
        if parts:
            runner.logger.info('  '.join(parts))

    def _measure(
        self, runner, teachers: Mapping[str, FrozenTeacher], device: torch.device
    ) -> dict[str, dict[str, float]]:
        measured = {}
        with _same_random_state(device):
            # A loop of its own: no worker, sampler or metric of the student's has run before.
            loop = runner.build_val_loop(dict(runner.cfg.get('val_cfg') or {}))
            for prefix, teacher in teachers.items():
                who = f'teacher/{prefix[:-1]}'.rstrip('/')
                measured[who] = _evaluate(teacher, loop, device)
        values = {f'{who}/{name}': v for who, of in measured.items() for name, v in of.items()}
        runner.visualizer.add_scalars(values, step=0)
        runner.logger.info('  '.join(f'{name}: {value:.4f}' for name, value in values.items()))
        runner.message_hub.update_info(_SAVED, measured)
        return measured
