"""Alignment loss of dual-level knowledge distillation."""

from torch import Tensor, nn

from mmkd.functional.alignment import alignment
from mmkd.losses.base import check_non_negative
from mmkd.losses.relational import check_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class DLKDAlignLoss(nn.Module):
    """Mean squared distance between student and teacher features of unit length.

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 3. Give
    the student's features a :class:`~mmkd.connectors.SpindleMLP` to the teacher's width. The
    mathematics is :func:`mmkd.functional.alignment`. No labels are needed. As a mean over samples
    it is the same on one process or several with equal batches.

    Args:
        loss_weight: The paper's lambda_1.

    Raises:
        ValueError: If the weight is negative or not finite.

    Example:
        >>> import torch
        >>> DLKDAlignLoss()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(20.)
    """

    equal_widths = True

    def __init__(self, loss_weight: float = 10.0) -> None:
        super().__init__()
        check_non_negative('loss_weight', loss_weight)
        self.loss_weight = loss_weight

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted mean over the rows.

        Args:
            student: Features of any views. Shape (R, D).
            teacher: Features of the same views. Shape (R, D). No gradient flows into it.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is no Tensor.
            ValueError: If the shapes do not fit.
        """
        check_rows('student', student)
        check_rows('teacher', teacher, like=student)
        if student.shape[1] != teacher.shape[1]:
            raise ValueError(
                f"teacher: expected the student's width {student.shape[1]}, "
                f'got {teacher.shape[1]}; add a SpindleMLP connector to the student'
            )
        return self.loss_weight * alignment(student, teacher.detach())
