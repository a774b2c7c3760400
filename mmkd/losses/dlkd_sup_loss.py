"""Supervised loss of dual-level knowledge distillation."""

from torch import Tensor

from mmkd.functional.checks import check_positive
from mmkd.functional.contrastive import supervised_contrastive
from mmkd.losses.relational import RelationalLoss, check_rows
from mmkd.registry import MODELS


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

    equal_widths = True

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
