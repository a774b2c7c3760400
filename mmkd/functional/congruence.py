"""Correlation between the samples of a batch, and its congruence between two networks."""

import torch
from torch import Tensor

from mmkd.functional.checks import check_choice, check_positive, check_positive_int
from mmkd.functional.kernel_alignment.cka import gram
from mmkd.functional.numerics import mean_or_zero, upcast

KERNELS = ('mmd', 'bilinear', 'rbf')


def correlation(
    features: Tensor, kernel: str = 'rbf', gamma: float = 0.4, order: int | None = 2
) -> Tensor:
    r"""Correlation matrix of the features of B samples.

    .. math::
        \textrm{mmd:}\; \bigl| \overline{f_i} - \overline{f_j} \bigr| \qquad
        \textrm{bilinear:}\; \langle f_i, f_j \rangle \qquad
        \textrm{rbf:}\; e^{-\gamma \|f_i - f_j\|^2}
            \approx e^{-\gamma (\|f_i\|^2 + \|f_j\|^2)}
            \sum_{p=0}^{P} \frac{(2 \gamma \langle f_i, f_j \rangle)^p}{p!}

    "Correlation Congruence for Knowledge Distillation" (2019), sec. 3.4 and eq. 8-9. The Taylor
    series is written for features of any length; for unit vectors it is the paper's, whose first
    factor is then :math:`e^{-2 \gamma}`.

    Args:
        features: Shape (B, D): one row a sample.
        kernel: ``'mmd'`` (difference of the means over the D features), ``'bilinear'`` or
            ``'rbf'``.
        gamma: Inverse squared width of ``'rbf'``, > 0.
        order: Highest power P of the Taylor series of ``'rbf'``, at least 1; None is the exact
            kernel.

    Returns:
        Shape (B, B), in float32, or float64 for such features. Half precision is upcast and
        autocast is off inside. Where ``'mmd'`` is 0 so is its gradient.

    Raises:
        ValueError: If an argument is out of its range, or ``features`` has another shape.

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
    if features.ndim != 2:
        raise ValueError(f'features: expected a shape (B, D), got {tuple(features.shape)}')
    with torch.autocast(features.device.type, enabled=False):
        features = upcast(features)
        if kernel == 'mmd':
            mean = features.mean(1)
            return (mean[:, None] - mean).abs()
        if kernel == 'bilinear':
            return gram(features, center=False).matrix
        return _rbf(features, gamma) if order is None else _rbf_series(features, gamma, order)


def correlation_congruence(
    student: Tensor,
    teacher: Tensor,
    kernel: str = 'rbf',
    gamma: float = 0.4,
    order: int | None = 2,
) -> Tensor:
    r"""Mean squared difference of two networks' correlation matrices over all pairs of samples.

    .. math::
        L_{CC} = \frac{1}{B^2} \| C^S - C^T \|_F^2

    "Correlation Congruence for Knowledge Distillation" (2019), eq. 6. Only the number of samples
    need agree.

    Args:
        student: Features, shape (B, D).
        teacher: Features, shape (B, D_T).
        kernel: See :func:`correlation`, as for ``gamma`` and ``order``.
        gamma: See there.
        order: See there.

    Returns:
        A scalar >= 0, 0 for no samples.

    Raises:
        ValueError: If an argument is out of its range or shapes differ from these.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> correlation_congruence(student, torch.tensor([[1.0], [1.0]]), 'bilinear')
        tensor(0.5000)
    """
    of_student = correlation(student, kernel, gamma, order)
    if teacher.ndim != 2 or len(teacher) != len(student):
        raise ValueError(
            f'teacher: expected a shape ({len(student)}, D), got {tuple(teacher.shape)}'
        )
    difference = of_student - correlation(teacher, kernel, gamma, order)
    return mean_or_zero(difference.square())


def check_kernel(kernel: str, gamma: float, order: int | None) -> None:
    """Raise ValueError unless these describe a kernel of :func:`correlation`."""
    check_choice('kernel', kernel, KERNELS)
    check_positive('gamma', gamma)
    if order is not None:
        check_positive_int('order', order)


def _rbf(features: Tensor, gamma: float) -> Tensor:
    # Distances do not see the mean, which would cost digits.
    inner = gram(features).matrix
    squared = inner.diagonal()
    distance = (squared[:, None] + squared - 2 * inner).clamp(min=0)
    return (-gamma * distance).exp()


def _rbf_series(features: Tensor, gamma: float, order: int) -> Tensor:
    """Taylor series by Horner's rule.

    The first factor is dealt out over the P steps: exp(-gamma (|f_i|^2 + |f_j|^2)) vanishes for
    long vectors, while the powers alone overflow.
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
