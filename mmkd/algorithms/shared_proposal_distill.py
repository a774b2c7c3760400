"""Distillation of two-stage detectors on proposals that both networks judge."""

from typing import Any

from mmengine.model import BaseModel
from mmrazor.models.task_modules.recorder import ModuleInputsRecorder
from torch import Tensor, nn

from mmkd.algorithms.frozen_teacher_distill import FrozenTeacherDistill, Samples
from mmkd.registry import MODELS
from mmkd.teachers import FrozenTeacher


@MODELS.register_module()
class SharedProposalDistill(FrozenTeacherDistill):
    """As its base; the teacher's RoI head judges the proposals on which the student is trained.

    Row by row, what is recorded in the two RoI heads is then about the same box: losses on logits
    can compare ``roi_head.bbox_head.fc_cls``. The student runs first; the teacher runs its
    backbone, neck and, on the student's sampled proposals, the box branch of its RoI head. All
    stages of a cascaded teacher judge the same boxes (``roi_head.bbox_head.2.fc_cls`` is the last);
    of a cascaded student the proposals are those of its first stage.

    Args:
        *args: As for :class:`FrozenTeacherDistill`.
        **kwargs: As for :class:`FrozenTeacherDistill`.

    Raises:
        ValueError: If a network has no RoI head with a box branch, there are several teachers, or
            the distiller has deliveries, which want the teacher to run first.
    """

    teacher: FrozenTeacher

    def _build_distiller(self, config: dict[str, Any]) -> None:
        if not isinstance(self.teacher, FrozenTeacher):
            raise ValueError('teacher: expected one, got several')
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
    """Run the box branch, for what is recorded on the way."""
    if not isinstance(roi_head.bbox_roi_extractor, nn.ModuleList):
        roi_head._bbox_forward(features, proposals)
        return
    for stage in range(len(roi_head.bbox_roi_extractor)):
        roi_head._bbox_forward(stage, features, proposals)
