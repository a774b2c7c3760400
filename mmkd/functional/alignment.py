"""Distance between the directions of two networks' representations."""

from torch import Tensor

from mmkd.functional.checks import check_same_shape
from mmkd.functional.numerics import has_direction, l2_normalize, mean_or_zero


def alignment(student: Tensor, teacher: Tensor) -> Tensor:
    r"""Mean squared distance between representations of unit length.

    .. math::
        \frac{1}{R} \sum_i \left\| \frac{s_i}{\|s_i\|} - \frac{t_i}{\|t_i\|} \right\|^2
        = \frac{1}{R} \sum_i \left( 2 - 2 \cos(s_i, t_i) \right)

    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 3, of
    unit vectors as in eq. 13.

    Args:
        student: Shape (R, D).
        teacher: Shape (R, D).

    Returns:
        A scalar in [0, 4], in float32, or float64 for such inputs; 0 for no rows. A pair
        with a row of zeros, which has no direction, contributes 0.

    Raises:
        ValueError: If the shapes differ.

    Example:
        >>> import torch
        >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(2.)
    """
    check_same_shape(student, teacher)
    student, teacher = l2_normalize(student), l2_normalize(teacher)
    # The product keeps NaN, which masking would hide.
    distance = (student - teacher).square().sum(-1) * has_direction(student)
    return mean_or_zero(distance * has_direction(teacher))
