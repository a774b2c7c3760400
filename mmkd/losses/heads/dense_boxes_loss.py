"""Distance between the boxes of two dense heads."""

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.functional.checks import check_non_negative, check_positive, check_same_shape
from mmkd.functional.numerics import limited, upcast
from mmkd.functional.saturation import saturating
from mmkd.losses.base.level_loss import Levels
from mmkd.losses.heads.confidence import check_min_score, confidence
from mmkd.losses.heads.dense_rows import dense_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class DenseBoxesLoss(nn.Module):
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

    needs_equal_shapes = True

    def __init__(self, beta: float = 0.1, min_score: float = 0.1, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_positive('beta', beta)
        check_min_score(min_score)
        check_non_negative('loss_weight', loss_weight)
        self.beta, self.min_score, self.loss_weight = beta, min_score, loss_weight

    @saturating
    def forward(
        self, student: Levels, teacher: Levels, scores: Levels, objectness: Levels | None = None
    ) -> Tensor:
        """Weighted mean of the distance over the anchors of all levels.

        Args:
            student: Predicted boxes, one map (B, A * 4, H, W) a level.
            teacher: The same. It gets no gradient.
            scores: The teacher's class logits, one map (B, A * K, H, W) a level.
            objectness: The teacher's logits of objectness, one map (B, A, H, W) a level, for heads
                whose scores are products.

        Returns:
            A scalar. It is 0 if all weights are.

        Raises:
            TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
            ValueError: If levels are missing or maps do not fit each other.
        """
        maps = dict(student=student, teacher=teacher, scores=scores)
        if objectness is not None:
            maps['objectness'] = objectness
        students, teachers, *seen = dense_rows(**maps)
        check_same_shape(students, teachers)
        anchors = students.shape[1] // 4
        if students.shape[1] % 4:
            raise ValueError(f'student: expected A * 4 channels, got {students.shape[1]}')
        weights = confidence(*seen, anchors=anchors, min_score=self.min_score)
        own, target = (limited(upcast(x), power=1) for x in (students, teachers.detach()))
        each = F.smooth_l1_loss(own, target, reduction='none', beta=self.beta)
        each = each.unflatten(1, (anchors, 4)).mean(-1)
        total = weights.sum()
        return self.loss_weight * (weights * each).sum() / total.masked_fill(total == 0, 1.0)
