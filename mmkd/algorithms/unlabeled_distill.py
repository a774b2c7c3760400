"""Distillation on unlabeled images beside the labeled ones."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor, nn

from mmkd.algorithms.both_batches import BothBatches
from mmkd.algorithms.frozen_teacher_distill import NO_UNLABELED, FrozenTeacherDistill, Samples
from mmkd.recorders.step_context import current_step
from mmkd.registry import MODELS


@MODELS.register_module()
class UnlabeledDistill(FrozenTeacherDistill):
    """Distillation that also extracts features from a second, unlabeled batch.

    A loss reads what backbone and neck return for the labeled batch with ``record_idx=0``, and for
    the unlabeled batch with ``record_idx=1``. Task losses see the labeled batch alone. The second
    batch comes from :class:`~mmkd.loops.UnlabeledTrainLoop`. ``views`` do not apply to it.

    Args:
        *args: See :class:`FrozenTeacherDistill`.
        **kwargs: See :class:`FrozenTeacherDistill`.
    """

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.data_preprocessor: nn.Module = _ImagesOnly(self.data_preprocessor)

    def forward(
        self,
        inputs: Tensor,
        data_samples: Samples = None,
        mode: str = 'tensor',
        unlabeled: Any = None,
    ) -> Any:
        """Run as MMEngine models do; mode ``'loss'`` takes unlabeled images (U, 3, H, W) as well.

        Raises:
            ValueError: If they are missing in mode ``'loss'``.
        """
        if mode != 'loss':
            return super().forward(inputs, data_samples, mode)
        if unlabeled is None:
            raise ValueError(NO_UNLABELED)
        return self.loss(inputs, data_samples, unlabeled)

    def _run_teacher(self, inputs: Tensor, data_samples: Samples) -> None:
        super()._run_teacher(inputs, data_samples)
        self.teacher.extract_feat(_unlabeled())

    def _run_student(self, inputs: Tensor, data_samples: Samples) -> dict[str, Tensor]:
        losses = super()._run_student(inputs, data_samples)
        self.architecture.extract_feat(_unlabeled())
        return losses


def _unlabeled() -> Tensor:
    unlabeled = current_step('UnlabeledDistill').unlabeled
    assert unlabeled is not None  # forward() checked it
    return unlabeled


class _ImagesOnly(BothBatches):
    """Leaves nothing but images of the unlabeled batch."""

    def forward(self, data: Mapping[str, Any], training: bool = False) -> dict[str, Any]:
        batch = super().forward(data, training)
        if 'unlabeled' in batch:
            batch['unlabeled'] = batch['unlabeled']['inputs']
        return batch
