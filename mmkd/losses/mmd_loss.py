"""MMD: maximum mean discrepancy."""

from torch import Tensor, nn

from mmkd.functional import mmd
from mmkd.functional.checks import check_non_negative
from mmkd.functional.saturation import saturating
from mmkd.losses.base.relational_loss import check_row_pair
from mmkd.registry import MODELS


@MODELS.register_module()
class MMDLoss(nn.Module):
    """Squared difference of the mean similarities between the rows of two networks.

    Zhou et al., IJCAI 2024, Table 6: <https://arxiv.org/abs/2401.11824>. The paper applies it to
    patches: wrap it in ``mmkd.losses.PatchwiseLoss``. Function: ``mmkd.functional.mmd``.

    Args:
        loss_weight: Factor of the loss.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If a weight is negative or not finite, or the shape of an input is wrong.

    Example:
        >>> import torch
        >>> loss = MMDLoss(loss_weight=4.0)
        >>> loss(torch.tensor([[2.0, 0.0], [0.0, 3.0]]), torch.tensor([[5.0], [7.0]]))
        tensor(1.)
    """

    def __init__(self, loss_weight: float = 1.0) -> None:
        super().__init__()
        check_non_negative('loss_weight', loss_weight)
        self.loss_weight = loss_weight

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted discrepancy, a scalar.

        Args:
            student: Shape (N, P).
            teacher: Shape (N, Q). It gets no gradient.
        """
        check_row_pair(student, teacher)
        return self.loss_weight * mmd(student, teacher.detach())
