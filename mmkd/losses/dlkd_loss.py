"""The three losses of dual-level knowledge distillation (DLKD)."""

from torch import Tensor

from mmkd.functional.alignment import alignment
from mmkd.functional.checks import check_positive, check_positive_int
from mmkd.functional.contrastive import supervised_contrastive
from mmkd.functional.knowledge_correlation import knowledge_correlation
from mmkd.losses.base.relational_loss import RelationalLoss, check_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class DLKDAlignLoss(RelationalLoss):
    """Mean squared distance between student and teacher features of unit length.

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 3. Give
    the student's features a :class:`~mmkd.connectors.ProjectionMLP` to the teacher's width. The
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

    needs_equal_shapes = True

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
                f'got {teacher.shape[1]}; add a ProjectionMLP connector to the student'
            )
        loss = alignment(student, teacher.detach())
        return self.loss_weight * self.joined_mean(loss, len(student))


@MODELS.register_module()
class DLKDCorrLoss(RelationalLoss):
    """Divergence between the networks' similarities of turned images to upright ones.

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 5-6.
    The paper gives the student's features a perceptron of their own width,
    ``ProjectionMLP(width, width, expansion=1)``, and the teacher's none; the widths may differ. The
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


@MODELS.register_module()
class DLKDSupLoss(RelationalLoss):
    """Contrast, by their labels, of each network's embeddings with the other network's.

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 7, with
    positives and negatives from the other network alone, as the text below it says; see
    :func:`mmkd.functional.supervised_contrastive`. It is above 0 even where the networks agree.
    Give both networks a :class:`~mmkd.connectors.LinearEmbed`. Unlike other losses this one does
    not detach the teacher's side, so that its embedding is trained, too; the teacher itself
    records no graph.

    Args:
        tau: Temperature.
        loss_weight: Factor of the loss.
        gather: See :class:`RelationalLoss`.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> embeddings, labels = torch.eye(2), torch.tensor([0, 1])
        >>> DLKDSupLoss(tau=1.0, loss_weight=1.0)(embeddings, embeddings, labels)
        tensor(0.3133)
    """

    needs_equal_shapes = True

    def __init__(self, tau: float = 0.07, loss_weight: float = 0.5, gather: bool = True) -> None:
        super().__init__(loss_weight=loss_weight, gather=gather)
        check_positive('tau', tau)
        self.tau = tau

    def forward(self, student: Tensor, teacher: Tensor, gt_labels: Tensor) -> Tensor:
        """Weighted mean over the anchors of both networks.

        Args:
            student: Embeddings of V >= 1 views of each image, view by view. Shape (V * B, D).
            teacher: Shape (V * B, D). Gradient flows into it.
            gt_labels: Class indices of the images, which hold for all of their views. Shape (B,).

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is no Tensor.
            ValueError: If the shapes do not fit, or the labels are no class indices.
        """
        check_rows('student', student)
        check_rows('teacher', teacher, like=student)
        _check_labels(gt_labels, len(student))
        labels = gt_labels.repeat(len(student) // max(len(gt_labels), 1))
        student, teacher, labels = map(self.joined, (student, teacher, labels))
        return self.loss_weight * supervised_contrastive(student, teacher, labels, self.tau)


def _check_labels(labels: Tensor, rows: int) -> None:
    if not isinstance(labels, Tensor):
        raise TypeError(f'gt_labels: expected a Tensor (B,), got {type(labels).__name__}')
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            f'gt_labels: expected class indices (B,), got {labels.dtype} of shape '
            f'{tuple(labels.shape)}; soft labels, as MixUp makes, have no positives'
        )
    if (rows == 0) != (len(labels) == 0) or rows % max(len(labels), 1):
        raise ValueError(
            f'gt_labels: expected one for each of the {rows} rows of student, or for each of '
            f'those of its first view, got {len(labels)}'
        )
