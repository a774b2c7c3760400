"""Correlation matrices of a batch, and the distance between those of two networks (CCKD)."""

from typing import Literal, get_args

import torch
from torch import Tensor

from mmkd.functional.checks import check_choice, check_matrix, check_positive, check_positive_int
from mmkd.functional.kernel_alignment.cka import gram
from mmkd.functional.numerics import limited, mean_or_zero, upcast
from mmkd.functional.saturation import saturating

Kernel = Literal['mmd', 'bilinear', 'rbf']


@saturating
def correlation(
    features: Tensor, kernel: Kernel = 'rbf', gamma: float = 0.4, order: int | None = 2
) -> Tensor:
    r"""Correlation matrix of the features of B samples.

    $$
    \textrm{mmd:}\; \bigl| \overline{f_i} - \overline{f_j} \bigr| \qquad
    \textrm{bilinear:}\; \langle f_i, f_j \rangle \qquad
    \textrm{rbf:}\; e^{-\gamma \|f_i - f_j\|^2}
        \approx e^{-\gamma (\|f_i\|^2 + \|f_j\|^2)}
        \sum_{p=0}^{P} \frac{(2 \gamma \langle f_i, f_j \rangle)^p}{p!}
    $$

    Peng et al., ICCV 2019, sec. 3.4 and eq. 8-9: <https://arxiv.org/abs/1904.01802>. The Taylor
    series holds for features of any length. For unit vectors its first factor is
    $e^{-2 \gamma}$, as in the paper.

    Args:
        features: One row a sample. Shape (B, D).
        kernel: ``'mmd'`` (difference of the means over the D features), ``'bilinear'`` or
            ``'rbf'``.
        gamma: Inverse squared width of ``'rbf'``, > 0.
        order: Highest power P of the Taylor series of ``'rbf'``, >= 1. None computes the exact
            kernel.

    Returns:
        Shape (B, B), in float32 (float64 for float64 features). Where ``'mmd'`` is 0, its gradient
        is 0, too.

    Raises:
        ValueError: If an argument is out of range or ``features`` has another shape.

    Example:
        >>> features = torch.tensor([[1.0, 0.0], [0.6, 0.8]])
        >>> correlation(features, 'bilinear')
        tensor([[1.0000, 0.6000],
                [0.6000, 1.0000]])
        >>> correlation(features, 'rbf', order=None)
        tensor([[1.0000, 0.7261],
                [0.7261, 1.0000]])
        >>> correlation(features, 'rbf', order=2)
        tensor([[0.9526, 0.7168],
                [0.7168, 0.9526]])
    """
    check_kernel(kernel, gamma, order)
    check_matrix('features', features)
    with torch.autocast(features.device.type, enabled=False):
        # The square of a difference of inner products has the fourth power of the features.
        features = limited(upcast(features), power=4)
        if kernel == 'mmd':
            mean = features.mean(1)
            return (mean[:, None] - mean).abs()
        if kernel == 'bilinear':
            return gram(features, center=False).matrix
        return _rbf(features, gamma) if order is None else _rbf_series(features, gamma, order)


@saturating
def correlation_congruence(
    student: Tensor,
    teacher: Tensor,
    kernel: Kernel = 'rbf',
    gamma: float = 0.4,
    order: int | None = 2,
) -> Tensor:
    r"""Mean squared difference of two networks' correlation matrices over all pairs of samples.

    $$ L_{CC} = \frac{1}{B^2} \| C^S - C^T \|_F^2 $$

    Peng et al., ICCV 2019, eq. 6: <https://arxiv.org/abs/1904.01802>.

    Args:
        student: Features. Shape (B, D).
        teacher: Features. Shape (B, D_T). D_T may differ from D.
        kernel: See ``correlation``.
        gamma: See ``correlation``.
        order: See ``correlation``.

    Returns:
        A scalar >= 0. It is 0 for no samples.

    Raises:
        ValueError: If an argument is out of range or a shape is wrong.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> correlation_congruence(student, torch.tensor([[1.0], [1.0]]), 'bilinear')
        tensor(0.5000)
    """
    of_student = correlation(student, kernel, gamma, order)
    check_matrix('teacher', teacher, rows=len(student))
    difference = of_student - correlation(teacher, kernel, gamma, order)
    return mean_or_zero(difference.square())


def check_kernel(kernel: str, gamma: float, order: int | None) -> None:
    """Raise ValueError unless the arguments describe a kernel of ``correlation``."""
    check_choice('kernel', kernel, get_args(Kernel))
    check_positive('gamma', gamma)
    if order is not None:
        check_positive_int('order', order)


def _rbf(features: Tensor, gamma: float) -> Tensor:
    # Centering leaves distances as they are and saves digits.
    inner = gram(features).matrix
    squared = inner.diagonal()
    distance = (squared[:, None] + squared - 2 * inner).clamp(min=0)
    return (-gamma * distance).exp()


def _rbf_series(features: Tensor, gamma: float, order: int) -> Tensor:
    """Taylor series by Horner's rule.

    Each of the P steps applies its share of exp(-gamma (|f_i|^2 + |f_j|^2)). For long vectors the
    whole factor would vanish and the powers alone would overflow.
    """
    inner = gram(features, center=False).matrix
    squared = inner.diagonal()
    damping = (-gamma / order * (squared[:, None] + squared)).exp()
    argument = 2 * gamma * inner * damping
    series = damped = torch.ones_like(inner)
    for power in range(order, 0, -1):
        damped = damped * damping
        series = damped + argument / power * series
    return series
