"""SP: similarity-preserving distillation."""

from torch import Tensor

from mmkd.functional.saturation import saturating
from mmkd.functional.similarity import similarity_distance
from mmkd.losses.base.relational_loss import RelationalLoss, check_row_pair
from mmkd.registry import MODELS


@MODELS.register_module()
class SPLoss(RelationalLoss):
    """Squared difference of the samples' similarities in student and teacher.

    Tung and Mori, ICCV 2019: <https://arxiv.org/abs/1907.09682>, the baseline that FKD is closest
    to. Function: ``mmkd.functional.similarity_distance``.

    Args:
        loss_weight: Factor of the loss, 3000 in the paper.
        gather: In distributed training, compare the samples of all processes, with gradients. Maps
            must have the same size in all processes.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If ``loss_weight`` is out of range or the shape of an input is wrong.

    Example:
        >>> import torch
        >>> maps = torch.randn(4, 8, 2, 2)
        >>> SPLoss()(maps, 3 * maps) < 1e-4
        tensor(True)
    """

    def __init__(self, loss_weight: float = 3000.0, gather: bool = True) -> None:
        super().__init__(loss_weight, gather)

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted difference of the similarities, a scalar.

        Args:
            student: Feature maps or features. Shape (B, ...).
            teacher: The same, of any other size. Shape (B, ...). They get no gradient.
        """
        rows = [x.flatten(1) if x.ndim > 2 else x for x in (student, teacher.detach())]
        check_row_pair(*rows)
        return self.loss_weight * similarity_distance(*map(self.joined, rows))
