"""Mean squared error between feature maps."""

from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.numerics import upcast
from mmkd.losses.base.level_loss import LevelLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class MimicLoss(LevelLoss):
    """Mean squared error between two feature maps, summed over pyramid levels.

    The "+ mimic" term of "Rethinking Centered Kernel Alignment in Knowledge Distillation" (2024),
    Table 3: give the student's maps a :class:`~mmkd.connectors.LevelwiseConv`.

    Args:
        levels: Indices of the recorded levels to compare; None means all.
        loss_weight: Factor of the sum.

    Example:
        >>> import torch
        >>> MimicLoss()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]]))
        tensor(5.)
    """

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Mean squared error of one level, in float32 (float64 for such inputs)."""
        return F.mse_loss(upcast(student), upcast(teacher))
