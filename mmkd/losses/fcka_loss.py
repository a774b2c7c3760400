"""CKA loss between whole feature maps, over the samples of a batch."""

from collections.abc import Sequence

from torch import Tensor

from mmkd.functional import cka
from mmkd.functional.cka import MIN_UNBIASED_ROWS, check_unbiased
from mmkd.functional.gather import gather_rows
from mmkd.losses.base import LevelLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class FCKALoss(LevelLoss):
    r"""Distance, by CKA over the samples of a batch, between features of student and teacher.

    .. math::
        L = \alpha \sum_{\mathrm{levels}} \left[ 1 - \mathrm{CKA}(F_S, F_T) \right]

    Rows of F are samples, columns all values of a sample's feature map. "Rethinking Centered
    Kernel Alignment in Knowledge Distillation" (2024), eq. 6: the features' term of RCKA. The two
    networks may differ in channels and size. The mathematics is :func:`mmkd.functional.cka`.

    A level whose samples are all alike contributes 0; so does, when centred, a batch of one or
    two, of which there is only one centred Gram matrix up to scale, and a batch of none.

    Args:
        center: Subtract the mean sample, as CKA does by definition.
        unbiased: Use the unbiased estimator of CKA, which tells features of few samples and many
            values apart; the biased one is close to 1 there. It may be below 0, so that a
            level's distance may exceed 1, and needs batches of at least 4, or none.
        levels: Indices of the recorded levels to compare; None means all.
        gather: In distributed training, compare the samples of all processes, gradients
            included, so that N processes with b samples each are one with N b. It sends the
            features, which must be of one size in all processes.
        loss_weight: The paper's alpha.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> student = torch.randn(8, 4, 2, 2)
        >>> loss = FCKALoss()
        >>> loss(student, torch.cat([student, 3 * student], 1)) < 1e-4  # twice the channels
        tensor(True)
    """

    equal_widths = False

    def __init__(
        self,
        center: bool = True,
        unbiased: bool = False,
        levels: Sequence[int] | None = None,
        gather: bool = True,
        loss_weight: float = 5.0,
    ) -> None:
        super().__init__(levels=levels, loss_weight=loss_weight)
        if unbiased:  # the size of the batch is not known yet
            check_unbiased(center, 'student', MIN_UNBIASED_ROWS)
        self.center = center
        self.unbiased = unbiased
        self.gather = gather

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError, naming ``name``, unless both are (B, ...) with one B."""
        if min(student.ndim, teacher.ndim) < 2 or len(student) != len(teacher):
            raise ValueError(
                f'{name}: expected a shape (B, ...) with as many samples as the student of shape '
                f'{tuple(student.shape)}, got {tuple(teacher.shape)}'
            )

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Distance of one level; only the batch sizes need agree."""
        student, teacher = self._rows(student), self._rows(teacher)
        if self.unbiased:
            check_unbiased(self.center, 'student', len(student))
        return 1 - cka(student, teacher, center=self.center, unbiased=self.unbiased, degenerate=1.0)

    def _rows(self, features: Tensor) -> Tensor:
        rows = features.flatten(1)
        return gather_rows(rows) if self.gather else rows
