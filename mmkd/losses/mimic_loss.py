"""Mimic: mean squared error between feature maps."""

from collections.abc import Sequence
from typing import get_args

from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_choice
from mmkd.functional.numerics import ScalarReduction, limited, upcast
from mmkd.losses.base.level_loss import LevelLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class MimicLoss(LevelLoss):
    """Squared error between two feature maps, summed over pyramid levels.

    This is the "+ mimic" term of Zhou et al., IJCAI 2024, Table 3:
    <https://arxiv.org/abs/2401.11824>. Give the student's maps a ``mmkd.LevelwiseConv`` connector.

    Args:
        levels: Indices of the recorded levels to compare. None compares all.
        loss_weight: Factor of the sum over levels.
        reduction: ``'mean'`` or ``'sum'`` over the entries of a level. In distributed training,
            each process reduces its own maps, and ``DistributedDataParallel`` averages.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> MimicLoss()(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]]))
        tensor(5.)
    """

    def __init__(
        self,
        levels: Sequence[int] | None = None,
        loss_weight: float = 1.0,
        reduction: ScalarReduction = 'mean',
    ) -> None:
        super().__init__(levels, loss_weight)
        check_choice('reduction', reduction, get_args(ScalarReduction))
        self.reduction = reduction

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Squared error of one level, in float32 (float64 for float64 inputs)."""
        student, teacher = (limited(upcast(maps), power=2) for maps in (student, teacher))
        return F.mse_loss(student, teacher, reduction=self.reduction)
