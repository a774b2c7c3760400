"""Correlation loss of dual-level knowledge distillation."""

from torch import Tensor

from mmkd.functional.checks import check_positive, check_positive_int
from mmkd.functional.knowledge_correlation import knowledge_correlation
from mmkd.losses.relational import RelationalLoss, check_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class DLKDCorrLoss(RelationalLoss):
    """Divergence between the networks' similarities of turned images to upright ones.

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 5-6.
    The paper gives the student's features a perceptron of their own width,
    ``SpindleMLP(width, width, expansion=1)``, and the teacher's none; the widths may differ. The
    mathematics is :func:`mmkd.functional.knowledge_correlation`. No labels are needed.

    Args:
        num_views: Views of each image, at least 2, as :func:`mmkd.functional.rotations` makes 4.
        tau: Temperature of the similarities.
        loss_weight: The paper's lambda_2.
        gather: See :class:`RelationalLoss`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> views = torch.randn(4 * 8, 16)
        >>> DLKDCorrLoss()(views, 5 * views) < 1e-4
        tensor(True)
    """

    def __init__(
        self,
        num_views: int = 4,
        tau: float = 0.5,
        loss_weight: float = 20.0,
        gather: bool = True,
    ) -> None:
        super().__init__(loss_weight=loss_weight, gather=gather)
        check_positive_int('num_views', num_views)
        if num_views < 2:
            raise ValueError(f'num_views: expected at least 2, got {num_views}')
        check_positive('tau', tau)
        self.num_views = num_views
        self.tau = tau

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted mean over all views but the first.

        Args:
            student: Features, view by view: the first B rows are the upright images'. Shape
                (num_views * B, D_S).
            teacher: Shape (num_views * B, D_T). No gradient flows into it.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is no Tensor.
            ValueError: If the shapes do not fit.
        """
        check_rows('student', student)
        check_rows('teacher', teacher, like=student)
        if student.shape[0] % self.num_views:
            raise ValueError(
                f'student: expected rows of {self.num_views} views, a multiple of '
                f'{self.num_views}, got {student.shape[0]}'
            )
        student, teacher = self._joined_images(student), self._joined_images(teacher.detach())
        return self.loss_weight * knowledge_correlation(student, teacher, self.tau)

    def _joined_images(self, x: Tensor) -> Tensor:
        """(num_views * B, D) to (B, num_views, D), a row an image, of all processes."""
        return self.joined(x.unflatten(0, (self.num_views, -1)).transpose(0, 1))
