"""Classes of the ground-truth instances of a batch."""

from typing import Any

import torch
from torch import Tensor

from mmkd.recorders.step_context import BatchConnector
from mmkd.registry import MODELS


@MODELS.register_module()
class InstanceLabels(BatchConnector):
    """Class indices of the instances that :class:`InstanceFeatures` pools, in its order."""

    def forward(self, _: Any) -> Tensor:
        """Class indices, whatever was recorded. Shape (N,)."""
        return torch.cat([sample.gt_instances.labels for sample in self.batch.data_samples])
