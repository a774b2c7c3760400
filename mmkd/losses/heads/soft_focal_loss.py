"""Soft focal loss between the class predictions of two dense heads."""

from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative
from mmkd.functional.saturation import saturating
from mmkd.functional.soft_focal import check_beta, soft_focal
from mmkd.losses.base.level_loss import Levels
from mmkd.losses.heads.dense_rows import dense_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class SoftFocalLoss(nn.Module):
    """Binary cross entropy with the teacher's class scores, where the heads disagree.

    See :func:`mmkd.functional.soft_focal`. It is the classification term of CrossKD (Wang et al.,
    CVPR 2024, https://arxiv.org/abs/2306.11369), and works between two heads of the same classes as
    well.

    Args:
        beta: Exponent of the distance of two scores: 0, or at least 1. Default: 2, as in quality
            focal loss.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> maps = (torch.zeros(2, 80, 8, 8), torch.zeros(2, 80, 4, 4))
        >>> SoftFocalLoss()(maps, maps)
        tensor(0.)
    """

    needs_equal_shapes = True

    def __init__(self, beta: float = 2.0, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_beta(beta)
        check_non_negative('loss_weight', loss_weight)
        self.beta, self.loss_weight = beta, loss_weight

    @saturating
    def forward(self, student: Levels, teacher: Levels) -> Tensor:
        """Loss over the locations of all levels.

        Args:
            student: Class logits, one map (B, K, H, W) a level.
            teacher: The same.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
            ValueError: If levels or shapes differ.
        """
        students, teachers = dense_rows(student=student, teacher=teacher)
        return self.loss_weight * soft_focal(students, teachers, beta=self.beta)
