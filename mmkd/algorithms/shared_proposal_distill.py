"""Distillation of two-stage detectors on the same proposals."""

from typing import Any

from mmengine.model import BaseModel
from mmrazor.models.task_modules.recorder import ModuleInputsRecorder
from torch import Tensor, nn

from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill, Samples
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher


@MODELS.register_module()
class SharedProposalDistill(FrozenTeacherDistill):
    """Distillation in which the teacher's RoI head classifies the student's training proposals.

    Both RoI heads then describe the same boxes, row by row, and losses on logits can compare
    ``roi_head.bbox_head.fc_cls``. The student runs first. The teacher runs its backbone, its neck,
    and the box branch of its RoI head on the proposals that the student sampled. Every stage of a
    cascaded teacher sees the same boxes (``roi_head.bbox_head.2.fc_cls`` is the last stage). A
    cascaded student gives the proposals of its first stage.

    Args:
        *args: See :class:`FrozenTeacherDistill`.
        **kwargs: See :class:`FrozenTeacherDistill`.

    Raises:
        ValueError: If a network has no RoI head with a box branch, there are several teachers, or
            the distiller has deliveries, which need the teacher to run first.
    """

    teacher: FrozenTeacher

    def _build_distiller(self, config: dict[str, Any]) -> None:
        self._check_single_teacher()
        if config.get('distill_deliveries'):
            raise ValueError(
                'distiller.distill_deliveries: expected none, as the student runs first'
            )
        _check_two_stage('architecture', self.architecture)
        _check_two_stage('teacher', self.teacher.model)
        super()._build_distiller(config)
        cascaded = isinstance(self.architecture.roi_head.bbox_roi_extractor, nn.ModuleList)
        source = 'roi_head.bbox_roi_extractor' + ('.0' if cascaded else '')
        self._extractor_inputs = ModuleInputsRecorder(source)
        self._extractor_inputs.initialize(self.architecture)

    def _run(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        try:
            with self.distiller.student_recorders, self._extractor_inputs:
                losses = self._run_student(inputs, data_samples)
            proposals = self._extractor_inputs.get_record_data(record_idx=0, data_idx=1)
        finally:
            self._extractor_inputs.reset_data_buffer()

        def judge(model: BaseModel, images: Tensor) -> None:
            _judge(model.roi_head, model.extract_feat(images), proposals)

        with self.distiller.teacher_recorders:
            self.teacher.apply(judge, inputs, data_samples)
        return losses


def _check_two_stage(name: str, model: nn.Module) -> None:
    head = getattr(model, 'roi_head', None)
    if head is None or not getattr(head, 'with_bbox', False):
        raise ValueError(
            f'{name}: expected a two-stage detector with a box branch in its roi_head, '
            f'got {type(model).__name__}'
        )


def _judge(roi_head: Any, features: tuple[Tensor, ...], proposals: Tensor) -> None:
    """Run the box branch, so that its modules are recorded."""
    if not isinstance(roi_head.bbox_roi_extractor, nn.ModuleList):
        roi_head._bbox_forward(features, proposals)
        return
    for stage in range(len(roi_head.bbox_roi_extractor)):
        roi_head._bbox_forward(stage, features, proposals)
