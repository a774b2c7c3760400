"""CCKD: correlation congruence."""

from torch import Tensor

from mmkd.functional.cckd import Kernel, check_kernel, correlation_congruence
from mmkd.functional.numerics import l2_normalize
from mmkd.functional.saturation import saturating
from mmkd.losses.base.relational_loss import RelationalLoss, check_row_pair
from mmkd.registry import MODELS


@MODELS.register_module()
class CCKDLoss(RelationalLoss):
    r"""Mean squared difference between the sample correlations of student and teacher.

    $$ L = \beta \, \frac{1}{B^2} \| C^S - C^T \|_F^2 $$

    Peng et al., ICCV 2019, eq. 6 and 9: <https://arxiv.org/abs/1904.01802>. Give both networks a
    ``mmkd.LinearEmbed`` connector, which embeds features at unit length. The teacher's side is not
    detached, so its embedding is trained, too. ``LinearEmbed(frozen=True)`` turns this off.
    Function: ``mmkd.functional.correlation_congruence``.

    Args:
        kernel: Correlation of two samples: ``'mmd'``, ``'bilinear'`` or ``'rbf'``.
        gamma: Inverse squared width of ``'rbf'``, > 0.
        order: Highest power of the Taylor series of ``'rbf'``, >= 1. None computes the exact
            kernel.
        loss_weight: The paper's beta. At the published value the term is tiny beside the task's
            loss.
        gather: In distributed training, correlate the samples of all processes, with gradients.
        normalize: Divide each embedding by its length. Set it for embeddings that are layers of the
            networks. ``mmkd.LinearEmbed`` does it itself.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If an argument is out of range or the shape of an input is wrong.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> loss = CCKDLoss(kernel='bilinear', loss_weight=10.0)
        >>> loss(student, torch.tensor([[1.0], [1.0]]))
        tensor(5.)
    """

    def __init__(
        self,
        kernel: Kernel = 'rbf',
        gamma: float = 0.4,
        order: int | None = 2,
        loss_weight: float = 0.003,
        gather: bool = True,
        normalize: bool = False,
    ) -> None:
        super().__init__(loss_weight, gather)
        check_kernel(kernel, gamma, order)
        self.kernel = kernel
        self.gamma = gamma
        self.order = order
        self.normalize = normalize

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted difference of the correlations, a scalar.

        Args:
            student: Embedding. Shape (B, D).
            teacher: Embedding. Shape (B, D_T). It is not detached.
        """
        check_row_pair(student, teacher)
        if self.normalize:
            student, teacher = l2_normalize(student), l2_normalize(teacher)
        student, teacher = self.joined(student), self.joined(teacher)
        congruence = correlation_congruence(student, teacher, self.kernel, self.gamma, self.order)
        return self.loss_weight * congruence
