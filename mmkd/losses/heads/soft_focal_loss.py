"""Soft focal loss between the class predictions of two dense heads."""

from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative
from mmkd.functional.joint_logits import joint_logits
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
    def forward(
        self,
        student: Levels,
        teacher: Levels,
        objectness: Levels | None = None,
        teacher_objectness: Levels | None = None,
    ) -> Tensor:
        """Loss over the locations of all levels.

        Args:
            student: Class logits, one map (B, K, H, W) a level.
            teacher: The same. It gets no gradient.
            objectness: The student's logits of objectness, one map (B, 1, H, W) a level. Scores are
                then products, as in YOLOX. None compares the classes alone.
            teacher_objectness: The teacher's; as the student's.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
            ValueError: If levels or shapes differ, or only one side has objectness.
        """
        if (objectness is None) != (teacher_objectness is None):
            raise ValueError('objectness: expected that of both networks or of none, got one')
        maps = dict(student=student, teacher=teacher)
        if objectness is not None and teacher_objectness is not None:
            maps |= dict(objectness=objectness, teacher_objectness=teacher_objectness)
        students, teachers, *objects = dense_rows(**maps)
        if objects:
            students, teachers = map(joint_logits, (students, teachers), objects)
        return self.loss_weight * soft_focal(students, teachers, beta=self.beta)
