"""Distillation through the teacher's head."""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from mmrazor.models.task_modules.recorder import ModuleOutputsRecorder
from torch import Tensor, nn

from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill, Samples
from mmkd.algorithms.recorder_sources import check_module
from mmkd.recorders import CrossOutputsRecorder, LevelOutputsRecorder
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher


@MODELS.register_module()
class CrossHeadDistill(FrozenTeacherDistill):
    """Distillation in which the teacher's head finishes what the student's head began.

    The student's outputs of ``entries`` replace the teacher's inside the teacher's frozen head. A
    loss compares what comes out (recorded by ``mmkd.CrossOutputs``) with the teacher's own
    predictions. So the student's head does not have to follow the ground truth and the teacher with
    the same layers. The cross predictions have the teacher's classes, which may differ from the
    student's.

    Wang et al., "CrossKD: Cross-Head Knowledge Distillation for Object Detection", CVPR 2024:
    https://arxiv.org/abs/2306.11369.

    Args:
        *args: See :class:`FrozenTeacherDistill`.
        entries: Names of modules in both heads, such as ``'bbox_head.cls_convs.2'``. Both networks
            call them equally often (once a level), with outputs of equal shapes.
        **kwargs: See :class:`FrozenTeacherDistill`.

    Raises:
        ValueError: If a network has no such module, no loss reads a ``mmkd.CrossOutputs``, there
            are several teachers, or the outputs of an entry differ in shape.
    """

    teacher: FrozenTeacher

    def __init__(self, *args: Any, entries: Sequence[str], **kwargs: Any) -> None:
        if isinstance(entries, str) or not entries:
            raise ValueError(f'entries: expected a list of names of modules, got {entries!r}')
        self._entries = tuple(entries)
        super().__init__(*args, **kwargs)

    def _build_distiller(self, config: dict[str, Any]) -> None:
        self._check_single_teacher()
        for who, model in (('student', self.architecture), ('teacher', self.teacher.model)):
            for name in (*self._entries, 'neck', 'bbox_head'):
                check_module('entries', name, model, who)
        super()._build_distiller(config)
        recorders = self.distiller.student_recorders.recorders.values()
        self._cross = [each for each in recorders if isinstance(each, CrossOutputsRecorder)]
        if not self._cross:
            raise ValueError(
                "distiller: expected a loss on dict(type='mmkd.CrossOutputs', source=...) of the "
                'student, got none'
            )
        for recorder in self._cross:
            check_module('CrossOutputs', recorder.source, self.teacher.model, 'teacher')
            recorder.attach(self.teacher.model)
        self._pyramid = ModuleOutputsRecorder('neck')
        self._pyramid.initialize(self.teacher.model)
        self._begun = {name: LevelOutputsRecorder(name) for name in self._entries}
        for begun in self._begun.values():
            begun.initialize(self.architecture)

    def _run(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        own = [self._pyramid, *self._begun.values()]
        try:
            with ExitStack() as recording:
                for recorder in own:
                    recording.enter_context(recorder)
                losses = super()._run(inputs, data_samples)
            self._finish(inputs.device.type)
        finally:
            for recorder in own:
                recorder.reset_data_buffer()
        return losses

    def _finish(self, device: str) -> None:
        """Run the teacher's head once more, on what the student's head began."""
        begun = {name: recorder.get_record_data() for name, recorder in self._begun.items()}
        model = self.teacher.model
        with ExitStack() as stack:
            stack.enter_context(torch.enable_grad())
            stack.enter_context(self.teacher.autocast(device))
            for recorder in self._cross:
                stack.enter_context(recorder)
            for name, outputs in begun.items():
                stack.enter_context(_replaced(model.get_submodule(name), outputs, name))
            model.bbox_head.forward(self._pyramid.get_record_data())


@contextmanager
def _replaced(module: nn.Module, outputs: Sequence[Tensor], name: str) -> Iterator[None]:
    """Let the calls of a module return these outputs, one after the other."""
    remaining = iter(outputs)

    def replace(module: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        replacement = next(remaining, None)
        if replacement is None or replacement.shape != output.shape:
            got = 'no output' if replacement is None else tuple(replacement.shape)
            raise ValueError(
                f"entries: {name}: expected the student's output to have the teacher's shape "
                f'{tuple(output.shape)}, got {got}; both heads need the same widths and levels'
            )
        return replacement

    handle = module.register_forward_hook(replace)
    try:
        yield
    finally:
        handle.remove()
