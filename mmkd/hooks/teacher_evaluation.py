"""The teacher's own accuracy, beside the student's."""

from collections.abc import Mapping
from numbers import Real
from typing import Any

import torch
from mmengine.hooks import Hook
from mmengine.runner import Runner
from mmengine.runner.amp import autocast
from mmengine.structures import BaseDataElement
from mmengine.utils import apply_to
from torch import Tensor

from mmkd.datasets.unwrap import unwrap
from mmkd.models.heads import classifying_heads
from mmkd.models.model_wrapper import unwrap_model
from mmkd.registry import HOOKS
from mmkd.storage.random_state import same_random_state
from mmkd.teachers import FrozenTeacher

_SAVED = 'teacher_metrics'


def _check_classes(
    teachers: Mapping[str, FrozenTeacher], dataset: Any, labels: Mapping[int, int] | None
) -> None:
    """Raise if a teacher's classes, or what they mean here, are not those of the data set."""
    heads: dict[str, Any] = {
        f'teacher.{prefix}{name}': head
        for prefix, teacher in teachers.items()
        for name, head in classifying_heads(teacher.model)
    }
    for part in unwrap(dataset):
        classes = getattr(part, 'metainfo', {}).get('classes')
        for key, head in heads.items():
            if classes is None:
                continue
            if labels is not None:
                _check_labels(labels, key, head.num_classes, len(classes))
            elif head.num_classes != len(classes):
                raise ValueError(
                    f'TeacherEvaluationHook: expected a teacher with the {len(classes)} classes of '
                    f'the validation set, got {key} ({type(head).__name__}) with num_classes='
                    f'{head.num_classes}; name the classes that are the same by labels='
                    "{TEACHER'S: DATA'S}, or leave the hook out"
                )


def _check_labels(labels: Mapping[int, int], key: str, teacher: int, data: int) -> None:
    for names, count, whose in ((labels.keys(), teacher, key), (labels.values(), data, 'the data')):
        if outside := [label for label in names if not 0 <= label < count]:
            raise ValueError(
                f'TeacherEvaluationHook: labels: expected labels from 0 to {count - 1} of {whose}, '
                f'got {outside[:5]}'
            )


def _in_classes_of_data(sample: Any, labels: Mapping[int, int]) -> Any:
    """Return a detector's prediction with the labels of the data, without its other boxes."""
    found = sample.pred_instances
    known = [labels.get(label, -1) for label in found.labels.tolist()]
    found.labels = found.labels.new_tensor(known)
    sample.pred_instances = found[found.labels >= 0]
    return sample


def _readable(sample: Any) -> Any:
    """Return a prediction as a dict with float32 for bfloat16, which NumPy does not have."""
    if isinstance(sample, BaseDataElement):
        sample = sample.to_dict()
    return apply_to(
        sample,
        lambda value: isinstance(value, Tensor) and value.dtype == torch.bfloat16,
        Tensor.float,
    )


def _evaluate(
    teacher: FrozenTeacher, loop: Any, device: torch.device, labels: Mapping[int, int] | None
) -> dict[str, float]:
    """Return the teacher's metrics that are numbers, on the data of a validation loop."""
    teacher.model.to(device)
    for batch in loop.dataloader:
        with autocast(enabled=loop.fp16):
            samples = teacher.predict(batch)
        if labels is not None:
            samples = [_in_classes_of_data(sample, labels) for sample in samples]
        loop.evaluator.process([_readable(sample) for sample in samples], batch)
    metrics = loop.evaluator.evaluate(len(loop.dataloader.dataset))
    return {name: float(value) for name, value in metrics.items() if isinstance(value, Real)}


def _is_measured(saved: Any, teachers: Mapping[str, FrozenTeacher]) -> bool:
    """Whether a checkpoint has metrics of these teachers."""
    if not isinstance(saved, Mapping) or saved.keys() != {_name(prefix) for prefix in teachers}:
        return False
    return all(
        isinstance(of, Mapping) and all(isinstance(value, Real) for value in of.values())
        for of in saved.values()
    )


def _name(prefix: str) -> str:
    return f'teacher/{prefix[:-1]}'.rstrip('/')


@HOOKS.register_module()
class TeacherEvaluationHook(Hook):
    """Evaluate the teacher before training, and log its metrics beside the student's.

    The teacher predicts on the student's validation images, with its own data preprocessor and
    precision, and ``val_evaluator`` computes the metrics. The hook logs them at step 0 as
    ``teacher/NAME`` (several teachers: ``teacher/MEMBER/NAME``), and beside the student's in a
    line after each validation. Checkpoints hold the metrics, so a resumed run does not evaluate
    again. The hook restores the random state, so it does not change the training. It builds the
    validation set a second time and drops it after the evaluation.

    Args:
        labels: For detectors, the label of the data for each of the teacher's labels, if their
            classes differ: ``{0: 0}`` for a teacher whose first class is the only one of the data.
            Boxes of other labels do not count. Default: the labels are the same.

    Raises:
        ValueError: Before training, if the model has no teacher, the run has no validation, a
            teacher has another number of classes than the validation set, or ``labels`` has a label
            that one of them does not have.

    Example:
        >>> custom_hooks = [dict(type='mmkd.TeacherEvaluationHook')]
    """

    priority = 'LOW'  # after DataCheckHook, and after the log of the student's metrics

    def __init__(self, labels: Mapping[int, int] | None = None) -> None:
        self.labels = None if labels is None else {int(k): int(v) for k, v in labels.items()}
        self.metrics: dict[str, dict[str, float]] = {}

    def before_train(self, runner: Runner) -> None:
        """Evaluate all teachers, or read their metrics from the resumed checkpoint."""
        model = unwrap_model(runner.model)
        if not hasattr(model, 'teacher'):
            raise ValueError(
                'TeacherEvaluationHook: expected a model with a teacher, got '
                f'{type(model).__name__}'
            )
        if runner.val_loop is None:
            raise ValueError('TeacherEvaluationHook: expected a run with validation, got none')
        teachers = model.teacher.by_prefix()
        _check_classes(teachers, runner.val_dataloader.dataset, self.labels)
        saved: Any = runner.message_hub.get_info(_SAVED) if runner.iter > 0 else None
        self.metrics = (
            saved
            if _is_measured(saved, teachers)
            else self._measure(runner, teachers, next(model.parameters()).device)
        )

    def after_val_epoch(self, runner: Runner, metrics: Mapping[str, Any] | None = None) -> None:
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
        self, runner: Runner, teachers: Mapping[str, FrozenTeacher], device: torch.device
    ) -> dict[str, dict[str, float]]:
        measured = {}
        with same_random_state():
            # A new loop, so the student's workers, sampler and metrics have not run before.
            loop = runner.build_val_loop(dict(runner.cfg.get('val_cfg') or {}))
            for prefix, teacher in teachers.items():
                measured[_name(prefix)] = _evaluate(teacher, loop, device, self.labels)
        values = {f'{who}/{name}': v for who, of in measured.items() for name, v in of.items()}
        runner.visualizer.add_scalars(values, step=0)
        runner.logger.info('  '.join(f'{name}: {value:.4f}' for name, value in values.items()))
        runner.message_hub.update_info(_SAVED, measured)
        return measured
