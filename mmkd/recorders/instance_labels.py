"""Classes of the ground-truth instances of a batch."""

from typing import Any

import torch
from mmrazor.models.task_modules.recorder.base_recorder import BaseRecorder
from torch import Tensor, nn

from mmkd.recorders.step_context import labeled_step
from mmkd.registry import TASK_UTILS


@TASK_UTILS.register_module()
class InstanceLabelsRecorder(BaseRecorder):
    """Class indices of the rows that ``mmkd.InstanceFeatures`` pools, for one view.

    Configs call it ``type='mmkd.InstanceLabels'``. It reads the ground truth of the step, so it
    needs no module.
    """

    reads_step = True

    def __init__(self) -> None:
        super().__init__('')

    def prepare_from_model(self, model: nn.Module | None = None) -> None:
        """Nothing to attach: labels are not an output of a model."""

    def get_record_data(self, record_idx: int = 0, data_idx: int | None = None) -> Tensor:
        """Return the class indices of all instances of the batch. Shape (N,)."""
        samples: Any = labeled_step('InstanceLabels').data_samples
        return torch.cat([sample.gt_instances.labels for sample in samples])
