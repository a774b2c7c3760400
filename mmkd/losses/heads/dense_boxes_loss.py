"""Distance between the boxes of two dense heads."""

from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_positive, check_same_shape
from mmkd.functional.numerics import limited, upcast
from mmkd.losses.heads.confident_boxes_loss import ConfidentBoxesLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class DenseBoxesLoss(ConfidentBoxesLoss):
    r"""Smooth L1 distance of predicted boxes, where the teacher sees an object.

    It compares what the heads predict before decoding (distances or offsets, and sizes), so both
    heads have to be of one kind. For heads that predict distributions, take
    :class:`mmkd.LDLoss`. Each location n counts with the teacher's highest score :math:`w_n`, or
    not at all if that is below ``min_score``:

    .. math:: L = \frac{1}{\sum_n w_n} \sum_n \frac{w_n}{4} \sum_{e=1}^4 \mathrm{smoothL1}
        (s_{ne}, t_{ne})

    Args:
        beta: Distance at which the smooth L1 loss becomes linear. Default: 0.1.
        min_score: Locations with a lower score have weight 0. Default: 0.1.
        loss_weight: Factor of the loss. Default: 1.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> boxes, scores = (torch.zeros(2, 4, 8, 8),), (torch.zeros(2, 80, 8, 8),)
        >>> DenseBoxesLoss()(boxes, (boxes[0] + 1,), scores)
        tensor(0.9500)
    """

    def __init__(self, beta: float = 0.1, min_score: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__(min_score, loss_weight)
        check_positive('beta', beta)
        self.beta = beta

    def anchors(self, channels: int) -> int:
        """Four numbers for each anchor."""
        if channels % 4:
            raise ValueError(f'student: expected A * 4 channels, got {channels}')
        return channels // 4

    def distance(self, students: Tensor, teachers: Tensor, weights: Tensor) -> Tensor:
        """Smooth L1 distance."""
        check_same_shape(students, teachers)
        own, target = (limited(upcast(x), power=1) for x in (students, teachers.detach()))
        each = F.smooth_l1_loss(own, target, reduction='none', beta=self.beta)
        each = each.unflatten(1, (weights.shape[1], 4)).mean(-1)
        total = weights.sum()
        return (weights * each).sum() / total.masked_fill(total == 0, 1.0)
