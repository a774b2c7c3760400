"""FKD: feature kernel distillation."""

from typing import get_args

from torch import Tensor

from mmkd.functional import feature_kernel_distance
from mmkd.functional.checks import check_choice, check_non_negative
from mmkd.functional.fkd import Pairs, check_exponent
from mmkd.functional.numerics import mean_square
from mmkd.functional.saturation import saturating
from mmkd.losses.base.relational_loss import RelationalLoss, check_rows
from mmkd.registry import MODELS

Ensemble = tuple[Tensor, ...] | list[Tensor]


@MODELS.register_module()
class FKDLoss(RelationalLoss):
    r"""Distance between correlation kernels of student and teachers, plus a penalty on features.

    $$
    L = \frac{\lambda_{KD}}{B (B - 1)} \sum_{i \ne j} (\rho^S_{ij} - \rho^T_{ij})^2
        + \frac{\lambda_{FR}}{B D} \|f\|_F^2
    $$

    He & Ozay, ICLR 2022, Algorithm 1 with the mean square of Algorithm 2:
    <https://openreview.net/forum?id=tBIQEvApZK5>. The features are penultimate ones. The kernels do
    not depend on their scale. The penalty limits it. Function:
    ``mmkd.functional.feature_kernel_distance``.

    Args:
        kernel_weight: The paper's lambda_KD, in [1, 1000] there.
        regularization_weight: The paper's lambda_FR, in [0, 20] there.
        loss_weight: Factor of both terms.
        gather: In distributed training, compare the samples of all processes, with gradients.
        normalize: Compare correlation kernels. False compares the feature kernels of eq. 3, the
            inner products.
        exponent: Power p of the kernels' differences in eq. 3, >= 1.
        pairs: ``'distinct'`` averages over pairs of different samples (Algorithm 1), ``'all'`` over
            all (Algorithm 2).

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If a weight is negative or not finite, or the shape of an input is wrong.

    Example:
        >>> import torch
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> loss = FKDLoss(kernel_weight=3.0, regularization_weight=4.0)
        >>> loss(student, torch.tensor([[1.0], [5.0]]))
        tensor(5.)
    """

    def __init__(
        self,
        kernel_weight: float = 300.0,
        regularization_weight: float = 20.0,
        loss_weight: float = 1.0,
        gather: bool = True,
        normalize: bool = True,
        exponent: float = 2.0,
        pairs: Pairs = 'distinct',
    ) -> None:
        super().__init__(loss_weight, gather)
        check_non_negative('kernel_weight', kernel_weight)
        check_non_negative('regularization_weight', regularization_weight)
        check_exponent(exponent)
        check_choice('pairs', pairs, get_args(Pairs))
        self.kernel_weight = kernel_weight
        self.regularization_weight = regularization_weight
        self.normalize = normalize
        self.exponent = exponent
        self.pairs = pairs

    @saturating
    def forward(
        self,
        student: Tensor,
        teacher: Tensor | Ensemble,
        regularized: Tensor | None = None,
    ) -> Tensor:
        """Weighted sum of the kernels' distance and the features' mean square, a scalar.

        Args:
            student: Features. Shape (B, D).
            teacher: Features. Shape (B, D_T), with any D_T. A tuple or list of them is an ensemble,
                whose kernels are averaged. They get no gradient.
            regularized: Student features with a penalty on their mean square, such as those of a
                labeled batch when the kernels are of an unlabeled one. Shape (B', D'). None
                takes ``student``.
        """
        check_rows('student', student)
        teachers = _as_ensemble(teacher, student)
        if regularized is not None:
            check_rows('regularized', regularized)
        student = self.joined(student)
        distance = feature_kernel_distance(
            student,
            *(self.joined(t.detach()) for t in teachers),
            normalize=self.normalize,
            exponent=self.exponent,
            pairs=self.pairs,
        )
        loss = self.kernel_weight * distance
        if self.regularization_weight:
            features = student if regularized is None else self.joined(regularized)
            loss = loss + self.regularization_weight * mean_square(features)
        return self.loss_weight * loss


def _as_ensemble(teacher: Tensor | Ensemble, student: Tensor) -> Ensemble:
    if not isinstance(teacher, tuple | list):
        check_rows('teacher', teacher, student)
        return (teacher,)
    if not teacher:
        raise ValueError('teacher: expected at least one Tensor (B, D), got an empty sequence')
    for index, features in enumerate(teacher):
        check_rows(f'teacher[{index}]', features, student)
    return teacher
