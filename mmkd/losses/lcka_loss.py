"""CKA loss between logits, over the samples and over the classes."""

from torch import Tensor

from mmkd.functional import cka
from mmkd.functional.checks import check_positive
from mmkd.functional.cka import upcast
from mmkd.losses.base import check_non_negative
from mmkd.losses.relational import RelationalLoss, check_rows, check_same_classes
from mmkd.registry import MODELS


@MODELS.register_module()
class LCKALoss(RelationalLoss):
    r"""Distance, by CKA over samples and over classes, between logits of student and teacher.

    .. math::
        L = \beta \left[ w_{\mathrm{intra}} \, (1 - \mathrm{CKA}(z_S, z_T))
            + w_{\mathrm{inter}} \, (1 - \mathrm{CKA}(z_S^\top, z_T^\top)) \right]

    "Rethinking Centered Kernel Alignment in Knowledge Distillation" (2024), eq. 7 and 8: the
    logits' terms of RCKA. The mathematics is :func:`mmkd.functional.cka`.

    A term whose rows are all alike contributes 0; so does one of no rows or, when centred, one or
    two, of which there is only one centred Gram matrix up to scale: two classes have no inter term.

    Args:
        intra_weight: Weight of the distance whose rows are samples.
        inter_weight: Weight of the distance whose rows are classes; both networks must have the
            same classes, unless it is 0.
        tau: Compare the probabilities softmax(z / tau) in place of the logits; None means logits.
        center: Subtract the mean row, as CKA does by definition.
        loss_weight: The paper's beta.
        gather: In distributed training, compare the samples of all processes, gradients
            included, so that N processes with b samples each are one with N b.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> logits = torch.randn(16, 10)
        >>> loss = LCKALoss()
        >>> loss(logits, 3 * logits + 1) < 1e-4
        tensor(True)
    """

    def __init__(
        self,
        intra_weight: float = 1.0,
        inter_weight: float = 1.0,
        tau: float | None = None,
        center: bool = True,
        loss_weight: float = 5.0,
        gather: bool = True,
    ) -> None:
        super().__init__(loss_weight=loss_weight, gather=gather)
        check_non_negative('intra_weight', intra_weight)
        check_non_negative('inter_weight', inter_weight)
        if tau is not None:
            check_positive('tau', tau)
        self.intra_weight = intra_weight
        self.inter_weight = inter_weight
        self.equal_widths = inter_weight > 0
        self.tau = tau
        self.center = center

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted sum of both distances.

        Args:
            student: Logits, shape (B, C).
            teacher: Logits, shape (B, C); with ``inter_weight=0`` its C is free. No gradient
                flows into it.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is no Tensor.
            ValueError: If shapes differ from these.
        """
        check_rows('student', student)
        check_rows('teacher', teacher, student)
        if self.inter_weight:
            hint = 'set inter_weight=0 to compare samples only'
            check_same_classes(student, teacher, hint)
        student, teacher = self._rows(student), self._rows(teacher.detach())
        loss = self.intra_weight * self._distance(student, teacher)
        if self.inter_weight:
            loss = loss + self.inter_weight * self._distance(student.mT, teacher.mT)
        return self.loss_weight * loss

    def _rows(self, logits: Tensor) -> Tensor:
        logits = self.joined(logits)
        return logits if self.tau is None else (upcast(logits) / self.tau).softmax(1)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        return 1 - cka(student, teacher, center=self.center, degenerate=1.0)
