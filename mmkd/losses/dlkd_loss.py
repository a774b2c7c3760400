"""DLKD: the three losses of dual-level knowledge distillation."""

from typing import get_args

from torch import Tensor

from mmkd.functional.checks import check_choice, check_positive, check_positive_int
from mmkd.functional.dlkd import (
    Candidates,
    alignment,
    knowledge_correlation,
    supervised_contrastive,
)
from mmkd.functional.numerics import ScalarReduction
from mmkd.functional.saturation import saturating
from mmkd.losses.base.relational_loss import RelationalLoss, check_row_pair
from mmkd.registry import MODELS


@MODELS.register_module()
class DLKDAlignLoss(RelationalLoss):
    """Squared distance between student and teacher features of unit length.

    Ding et al., TNNLS 2022, eq. 3: <https://arxiv.org/abs/2012.00573>. Give the student's features
    a ``mmkd.ProjectionMLP`` connector. The loss needs no labels. Function:
    ``mmkd.functional.alignment``.

    Args:
        loss_weight: The paper's lambda_1.
        gather: In distributed training, weight each process by its number of rows, so that the
            average over the processes equals one process with all rows. No features are sent.
        reduction: ``'mean'`` or ``'sum'`` over the rows.
        normalize: Compare features of unit length. False compares them as they are, as eq. 3 is
            printed.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If an argument is out of range or the shape of an input is wrong.

    Example:
        >>> import torch
        >>> DLKDAlignLoss()(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(20.)
    """

    needs_equal_shapes = True

    def __init__(
        self,
        loss_weight: float = 10.0,
        gather: bool = True,
        reduction: ScalarReduction = 'mean',
        normalize: bool = True,
    ) -> None:
        super().__init__(loss_weight, gather)
        check_choice('reduction', reduction, get_args(ScalarReduction))
        self.reduction = reduction
        self.normalize = normalize

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted mean or sum over the rows, a scalar.

        Args:
            student: Features of any views. Shape (R, D).
            teacher: Features of the same views. Shape (R, D). They get no gradient.
        """
        check_row_pair(student, teacher)
        if student.shape[1] != teacher.shape[1]:
            raise ValueError(
                f"teacher: expected the student's width {student.shape[1]}, "
                f'got {teacher.shape[1]}; add a ProjectionMLP connector to the student'
            )
        loss = alignment(student, teacher.detach(), self.reduction, self.normalize)
        return self.loss_weight * self.joined_value(loss, len(student), self.reduction)


@MODELS.register_module()
class DLKDCorrLoss(RelationalLoss):
    """Divergence between the networks' similarities of rotated images to upright ones.

    Ding et al., TNNLS 2022, eq. 5-6: <https://arxiv.org/abs/2012.00573>. The paper gives the
    student's features an MLP of their own width, ``ProjectionMLP(width, width, expansion=1)``, and
    the teacher's none. The widths may differ. The loss needs no labels. Function:
    ``mmkd.functional.knowledge_correlation``.

    Args:
        num_views: Number of views of each image, >= 2. ``mmkd.functional.rotations`` makes 4.
        tau: Temperature of the similarities.
        loss_weight: The paper's lambda_2.
        gather: In distributed training, compare the images of all processes, with gradients.
        reduction: ``'mean'`` over the further views of all images or, as eq. 6 prints it, their
            ``'sum'``.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If an argument is out of range or the shape of an input is wrong.

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
        reduction: ScalarReduction = 'mean',
    ) -> None:
        super().__init__(loss_weight, gather)
        check_choice('reduction', reduction, get_args(ScalarReduction))
        self.reduction = reduction
        check_positive_int('num_views', num_views)
        if num_views < 2:
            raise ValueError(f'num_views: expected at least 2, got {num_views}')
        check_positive('tau', tau)
        self.num_views = num_views
        self.tau = tau

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted mean over all views but the first, a scalar.

        Args:
            student: Features, view by view. The first B rows are those of the upright images.
                Shape (num_views * B, D_S).
            teacher: The same. Shape (num_views * B, D_T). It gets no gradient.
        """
        check_row_pair(student, teacher)
        if student.shape[0] % self.num_views:
            raise ValueError(
                f'student: expected rows of {self.num_views} views, a multiple of '
                f'{self.num_views}, got {student.shape[0]}'
            )
        student, teacher = self._joined_images(student), self._joined_images(teacher.detach())
        return self.loss_weight * knowledge_correlation(student, teacher, self.tau, self.reduction)

    def _joined_images(self, x: Tensor) -> Tensor:
        """(num_views * B, D) to (B, num_views, D), with the images of all processes."""
        return self.joined(x.unflatten(0, (self.num_views, -1)).transpose(0, 1))


@MODELS.register_module()
class DLKDSupLoss(RelationalLoss):
    """Supervised contrast of the embeddings of two networks.

    Ding et al., TNNLS 2022, eq. 7: <https://arxiv.org/abs/2012.00573>. The loss is above 0 even if
    the networks agree. Give both networks a ``mmkd.LinearEmbed`` connector. The teacher's side is
    not detached, so its embedding is trained, too. Function:
    ``mmkd.functional.supervised_contrastive``.

    Args:
        tau: Temperature.
        loss_weight: Factor of the loss.
        gather: In distributed training, contrast the images of all processes, with gradients.
        reduction: ``'mean'`` over the anchors or, as eq. 7 prints it, their ``'sum'``.
        candidates: Where an anchor's positives and negatives come from: the ``'other'`` network, as
            the paper's text says, or ``'both'`` without the anchor itself, as eq. 7 prints it and
            the authors' code has it.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If an argument is out of range, the shape of an input is wrong, or the labels
            are not class indices.

    Example:
        >>> import torch
        >>> embeddings, labels = torch.eye(2), torch.tensor([0, 1])
        >>> DLKDSupLoss(tau=1.0, loss_weight=1.0)(embeddings, embeddings, labels)
        tensor(0.3133)
    """

    needs_equal_shapes = True

    def __init__(
        self,
        tau: float = 0.07,
        loss_weight: float = 0.5,
        gather: bool = True,
        reduction: ScalarReduction = 'mean',
        candidates: Candidates = 'other',
    ) -> None:
        super().__init__(loss_weight, gather)
        check_positive('tau', tau)
        check_choice('reduction', reduction, get_args(ScalarReduction))
        check_choice('candidates', candidates, get_args(Candidates))
        self.tau = tau
        self.reduction = reduction
        self.candidates = candidates

    @saturating
    def forward(self, student: Tensor, teacher: Tensor, gt_labels: Tensor) -> Tensor:
        """Weighted mean over the anchors of both networks, a scalar.

        Args:
            student: Embeddings of V >= 1 views of each image, view by view. Shape (V * B, D).
            teacher: The same. Shape (V * B, D). It is not detached.
            gt_labels: Class indices of the images. They hold for all views. Shape (B,).
        """
        check_row_pair(student, teacher)
        _check_labels(gt_labels, len(student))
        labels = gt_labels.repeat(len(student) // max(len(gt_labels), 1))
        student, teacher, labels = map(self.joined, (student, teacher, labels))
        return self.loss_weight * supervised_contrastive(
            student, teacher, labels, self.tau, self.reduction, self.candidates
        )


def _check_labels(labels: Tensor, rows: int) -> None:
    if not isinstance(labels, Tensor):
        raise TypeError(f'gt_labels: expected a Tensor (B,), got {type(labels).__name__}')
    if labels.ndim != 1 or labels.is_floating_point():
        raise ValueError(
            f'gt_labels: expected class indices (B,), got {labels.dtype} of shape '
            f'{tuple(labels.shape)}; soft labels, as from MixUp, are not supported'
        )
    if (rows == 0) != (len(labels) == 0) or rows % max(len(labels), 1):
        raise ValueError(
            f'gt_labels: expected one for each of the {rows} rows of student, or for each row of '
            f'its first view, got {len(labels)}'
        )
