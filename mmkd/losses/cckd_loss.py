"""Correlation congruence loss."""

from torch import Tensor

from mmkd.functional.congruence import check_kernel, correlation_congruence
from mmkd.losses.base.relational_loss import RelationalLoss, check_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class CCKDLoss(RelationalLoss):
    r"""Mean squared difference between the sample correlations of student and teacher.

    .. math::
        L = \beta \, \frac{1}{B^2} \| C^S - C^T \|_F^2

    "Correlation Congruence for Knowledge Distillation" (2019), eq. 6 and 9. Both networks'
    pooled features pass an embedding of unit length first (:class:`mmkd.connectors.LinearEmbed`).

    The gradient flows into the teacher's side too: a frozen teacher has none, but its embedding
    is trained together with the student's, as in the common implementations. With
    ``LinearEmbed(frozen=True)`` it is not. The mathematics is
    :func:`mmkd.functional.correlation_congruence`.

    Args:
        kernel: Correlation of two samples: ``'mmd'``, ``'bilinear'`` or ``'rbf'``.
        gamma: Inverse squared width of ``'rbf'``, > 0.
        order: Highest power of the Taylor series of ``'rbf'``, at least 1; None is the exact
            kernel.
        loss_weight: The paper's beta. As published the term is tiny beside the task's loss.
        gather: In distributed training, correlate the samples of all processes, gradients
            included, so that N processes with b samples each are one with N b.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> loss = CCKDLoss(kernel='bilinear', loss_weight=10.0)
        >>> loss(student, torch.tensor([[1.0], [1.0]]))
        tensor(5.)
    """

    def __init__(
        self,
        kernel: str = 'rbf',
        gamma: float = 0.4,
        order: int | None = 2,
        loss_weight: float = 0.003,
        gather: bool = True,
    ) -> None:
        super().__init__(loss_weight=loss_weight, gather=gather)
        check_kernel(kernel, gamma, order)
        self.kernel = kernel
        self.gamma = gamma
        self.order = order

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted difference of the correlations.

        Args:
            student: Embedding, shape (B, D).
            teacher: Embedding, shape (B, D_T); not detached.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is no Tensor.
            ValueError: If shapes differ from these.
        """
        check_rows('student', student)
        check_rows('teacher', teacher, student)
        student, teacher = self.joined(student), self.joined(teacher)
        congruence = correlation_congruence(student, teacher, self.kernel, self.gamma, self.order)
        return self.loss_weight * congruence
