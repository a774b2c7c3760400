"""Alignment loss of dual-level knowledge distillation."""

from torch import Tensor

from mmkd.functional.alignment import alignment
from mmkd.losses.relational import RelationalLoss, check_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class DLKDAlignLoss(RelationalLoss):
    """Mean squared distance between student and teacher features of unit length.

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 3. Give
    the student's features a :class:`~mmkd.connectors.SpindleMLP` to the teacher's width. The
    mathematics is :func:`mmkd.functional.alignment`. No labels are needed.

    Args:
        loss_weight: The paper's lambda_1.
        gather: In distributed training, weight each process by its share of the rows of all, so
            that the processes have, on average, the loss and the gradients of one with all rows.
            No features are sent.

    Raises:
        ValueError: If the weight is negative or not finite.

    Example:
        >>> import torch
        >>> DLKDAlignLoss()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(20.)
    """

    equal_widths = True

    def __init__(self, loss_weight: float = 10.0, gather: bool = True) -> None:
        super().__init__(loss_weight=loss_weight, gather=gather)

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
        loss = alignment(student, teacher.detach())
        return self.loss_weight * self.joined_mean(loss, len(student))
