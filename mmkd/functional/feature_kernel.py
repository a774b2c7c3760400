"""Correlation kernel of features, and the distance between those of two networks."""

import torch
from torch import Tensor

from mmkd.functional.numerics import l2_normalize


def feature_kernel(features: Tensor) -> Tensor:
    r"""Correlation kernel of the features of B samples: the cosines between them.

    .. math::
        \rho_{ij} = \frac{\langle f_i, f_j \rangle}{\|f_i\| \|f_j\|}

    He & Ozay, "Feature Kernel Distillation" (2022), sec. 4. The value is invariant under rotation
    of the features, and under scaling of each sample by its own positive factor.

    Args:
        features: Shape (B, D): one row a sample.

    Returns:
        Shape (B, B), in float32, or float64 for such features; autocast is off inside. The row
        and column of a sample of zero features are 0, without gradient.

    Raises:
        ValueError: If ``features`` has another shape.

    Example:
        >>> feature_kernel(torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 0.0]]))
        tensor([[1.0000, 0.6000, 0.0000],
                [0.6000, 1.0000, 0.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    _check('features', features)
    with torch.autocast(features.device.type, enabled=False):
        rows = l2_normalize(features)
        return rows @ rows.mT


def feature_kernel_distance(student: Tensor, *teachers: Tensor) -> Tensor:
    r"""Mean squared difference of correlation kernels over all pairs of samples.

    .. math::
        D = \frac{1}{B (B - 1)} \sum_{i \ne j}
            \Bigl( \rho^S_{ij} - \frac{1}{E} \sum_{e=1}^{E} \rho^{T_e}_{ij} \Bigr)^2

    He & Ozay, "Feature Kernel Distillation" (2022), Algorithm 1. Only the number of samples need
    agree, so that classes and data sets may differ.

    Args:
        student: Features, shape (B, D).
        *teachers: Features of each member of an ensemble, shape (B, D_e); D_e is free.

    Returns:
        A scalar in [0, 4], 0 for a single sample or none, in float32, or float64 if an
        argument is.

    Raises:
        TypeError: If no teacher is given.
        ValueError: If shapes differ from these.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> feature_kernel_distance(student, torch.tensor([[1.0], [5.0]]))
        tensor(1.)
        >>> feature_kernel_distance(student, 7 * student)
        tensor(0.)
    """
    if not teachers:
        raise TypeError('teachers: expected the features of at least one teacher, got none')
    _check('student', student)
    for index, teacher in enumerate(teachers):
        _check(f'teachers[{index}]', teacher, rows=len(student))
    target = torch.stack([feature_kernel(teacher) for teacher in teachers]).mean(0)
    difference = feature_kernel(student) - target
    # A product, as NaN stays NaN on the diagonal, which is all that a single sample has.
    off_diagonal = 1 - torch.eye(len(student), dtype=difference.dtype, device=difference.device)
    pairs = len(student) * (len(student) - 1)
    return (difference * off_diagonal).square().sum() / max(pairs, 1)


def _check(name: str, features: Tensor, rows: int | None = None) -> None:
    if features.ndim != 2 or (rows is not None and len(features) != rows):
        expected = 'B' if rows is None else rows
        raise ValueError(f'{name}: expected a shape ({expected}, D), got {tuple(features.shape)}')
