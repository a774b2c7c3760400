"""RCKA: CKA of feature maps and CKA of logits."""

from collections.abc import Sequence

from torch import Tensor

from mmkd.functional import cka
from mmkd.functional.checks import check_non_negative, check_positive
from mmkd.functional.gather import gather_rows
from mmkd.functional.kernel_alignment.cka import MIN_UNBIASED_ROWS, check_unbiased
from mmkd.functional.numerics import upcast
from mmkd.functional.saturation import saturating
from mmkd.losses.base.level_loss import LevelLoss
from mmkd.losses.base.relational_loss import RelationalLoss, check_row_pair, check_same_classes
from mmkd.registry import MODELS


@MODELS.register_module()
class FCKALoss(LevelLoss):
    r"""Distance between the features of two networks, by CKA over the samples of a batch.

    $$ L = \alpha \sum_{\mathrm{levels}} \left[ 1 - \mathrm{CKA}(F_S, F_T) \right] $$

    A row of F is a sample, with all values of its feature map. Zhou et al., IJCAI 2024, eq. 6, the
    feature term of RCKA: <https://arxiv.org/abs/2401.11824>. The networks may differ in channels
    and size. Function: ``mmkd.functional.cka``.

    A level contributes 0 if all samples are alike or the batch is empty. With ``center=True``, it
    also contributes 0 for one or two samples: all centered Gram matrices of two are proportional.

    Args:
        center: Subtract the mean sample, as CKA does by definition.
        unbiased: Use the unbiased estimator of CKA. It separates few samples with many values,
            where the biased one is close to 1. It needs batches of at least 4 samples, or none. It
            may be below 0, so a level's distance may exceed 1.
        normalize: Divide each row of the Gram matrices by the length of its sample. The authors'
            code does this, with ``center=False``. It does not go with ``unbiased``.
        levels: Indices of the recorded levels to compare. None compares all.
        gather: In distributed training, compare the samples of all processes, with gradients. The
            features are sent. They must have the same size in all processes.
        loss_weight: The paper's alpha.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> student = torch.randn(8, 4, 2, 2)
        >>> loss = FCKALoss()
        >>> loss(student, torch.cat([student, 3 * student], 1)) < 1e-4  # twice the channels
        tensor(True)
    """

    needs_equal_shapes = False

    def __init__(
        self,
        center: bool = True,
        unbiased: bool = False,
        levels: Sequence[int] | None = None,
        gather: bool = True,
        loss_weight: float = 5.0,
        normalize: bool = False,
    ) -> None:
        super().__init__(levels=levels, loss_weight=loss_weight)
        if unbiased:  # forward checks the size of the batch
            check_unbiased(center, 'student', MIN_UNBIASED_ROWS, normalize)
        self.center = center
        self.unbiased = unbiased
        self.normalize = normalize
        self.gather = gather

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError, naming ``name``, unless both are (B, ...) with the same B."""
        if min(student.ndim, teacher.ndim) < 2 or len(student) != len(teacher):
            raise ValueError(
                f'{name}: expected a shape (B, ...) with as many samples as the student of shape '
                f'{tuple(student.shape)}, got {tuple(teacher.shape)}'
            )

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Distance of one level. Only the batch sizes must agree."""
        student, teacher = self._rows(student), self._rows(teacher)
        if self.unbiased:
            check_unbiased(self.center, 'student', len(student))
        similarity = cka(
            student,
            teacher,
            center=self.center,
            unbiased=self.unbiased,
            normalize=self.normalize,
            degenerate=1.0,
        )
        return 1 - similarity

    def _rows(self, features: Tensor) -> Tensor:
        rows = features.flatten(1)
        return gather_rows(rows) if self.gather else rows


@MODELS.register_module()
class LCKALoss(RelationalLoss):
    r"""Distance between the logits of two networks, by CKA over samples and over classes.

    $$
    L = \beta \left[ w_{\mathrm{intra}} \, (1 - \mathrm{CKA}(z_S, z_T))
        + w_{\mathrm{inter}} \, (1 - \mathrm{CKA}(z_S^\top, z_T^\top)) \right]
    $$

    Zhou et al., IJCAI 2024, eq. 7 and 8, the logit terms of RCKA:
    <https://arxiv.org/abs/2401.11824>. Function: ``mmkd.functional.cka``.

    A term contributes 0 if all its rows are alike or there are none. With ``center=True``, it also
    contributes 0 for one or two rows: all centered Gram matrices of two are proportional. With two
    classes there is therefore no inter term.

    Args:
        intra_weight: Weight of the distance whose rows are samples.
        inter_weight: Weight of the distance whose rows are classes. Both networks must have the
            same classes unless it is 0.
        tau: Compare the probabilities softmax(z / tau). None compares the logits.
        center: Subtract the mean row, as CKA does by definition.
        loss_weight: The paper's beta.
        gather: In distributed training, compare the samples of all processes, with gradients.
        normalize: Divide each row of the Gram matrices by the length of its sample or class. The
            authors' code does this, with ``center=False``.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If an argument is out of range or the shape of an input is wrong.

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
        normalize: bool = False,
    ) -> None:
        super().__init__(loss_weight, gather)
        check_non_negative('intra_weight', intra_weight)
        check_non_negative('inter_weight', inter_weight)
        if tau is not None:
            check_positive('tau', tau)
        self.intra_weight = intra_weight
        self.inter_weight = inter_weight
        self.needs_equal_shapes = inter_weight > 0
        self.tau = tau
        self.center = center
        self.normalize = normalize

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted sum of both distances, a scalar.

        Args:
            student: Logits. Shape (B, C).
            teacher: Logits. Shape (B, C). With ``inter_weight=0``, C may differ. They get no
                gradient.
        """
        check_row_pair(student, teacher)
        if self.inter_weight:
            check_same_classes(student, teacher, 'set inter_weight=0 to compare samples only')
        student, teacher = self._rows(student), self._rows(teacher.detach())
        loss = self.intra_weight * self._distance(student, teacher)
        if self.inter_weight:
            loss = loss + self.inter_weight * self._distance(student.mT, teacher.mT)
        return self.loss_weight * loss

    def _rows(self, logits: Tensor) -> Tensor:
        logits = self.joined(logits)
        if self.tau is None:
            return logits
        logits = upcast(logits)
        # Relative to the largest logit, a small tau cannot overflow.
        return ((logits - logits.detach().amax(1, keepdim=True)) / self.tau).softmax(1)

    def _distance(self, student: Tensor, teacher: Tensor) -> Tensor:
        options = dict(center=self.center, normalize=self.normalize)
        return 1 - cka(student, teacher, **options, degenerate=1.0)
