"""Cosine kernel of a batch, and the distance between those of two networks (FKD)."""

import torch
from torch import Tensor

from mmkd.functional.checks import check_matrix
from mmkd.functional.numerics import l2_normalize


def feature_kernel(features: Tensor) -> Tensor:
    r"""Correlation kernel of the features of B samples: the cosines between them.

    $$ \rho_{ij} = \frac{\langle f_i, f_j \rangle}{\|f_i\| \|f_j\|} $$

    He & Ozay, ICLR 2022, sec. 4: <https://openreview.net/forum?id=tBIQEvApZK5>. Rotating all
    features, or scaling a sample by a positive factor, changes nothing.

    Args:
        features: One row a sample. Shape (B, D).

    Returns:
        Shape (B, B), in float32 (float64 for float64 features). A sample of zero features has a
        row and a column of 0, without gradient.

    Raises:
        ValueError: If ``features`` has another shape.

    Example:
        >>> feature_kernel(torch.tensor([[2.0, 0.0], [3.0, 4.0], [0.0, 0.0]]))
        tensor([[1.0000, 0.6000, 0.0000],
                [0.6000, 1.0000, 0.0000],
                [0.0000, 0.0000, 0.0000]])
    """
    check_matrix('features', features)
    with torch.autocast(features.device.type, enabled=False):
        rows = l2_normalize(features)
        return rows @ rows.mT


def feature_kernel_distance(student: Tensor, *teachers: Tensor) -> Tensor:
    r"""Mean squared difference of correlation kernels over all pairs of samples.

    $$
    D = \frac{1}{B (B - 1)} \sum_{i \ne j}
        \Bigl( \rho^S_{ij} - \frac{1}{E} \sum_{e=1}^{E} \rho^{T_e}_{ij} \Bigr)^2
    $$

    He & Ozay, ICLR 2022, Algorithm 1: <https://openreview.net/forum?id=tBIQEvApZK5>. Widths,
    classes and data sets of the networks may differ.

    Args:
        student: Features. Shape (B, D).
        *teachers: Features of each member of an ensemble. Shape (B, D_e), with any D_e.

    Returns:
        A scalar in [0, 4], in float32 (float64 if an argument is). It is 0 for one sample or none.

    Raises:
        TypeError: If no teacher is given.
        ValueError: If a shape is wrong.

    Example:
        >>> student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
        >>> feature_kernel_distance(student, torch.tensor([[1.0], [5.0]]))
        tensor(1.)
        >>> feature_kernel_distance(student, 7 * student)
        tensor(0.)
    """
    if not teachers:
        raise TypeError('teachers: expected the features of at least one teacher, got none')
    check_matrix('student', student)
    for index, teacher in enumerate(teachers):
        check_matrix(f'teachers[{index}]', teacher, rows=len(student))
    target = torch.stack([feature_kernel(teacher) for teacher in teachers]).mean(0)
    difference = feature_kernel(student) - target
    # Multiplying keeps NaN on the diagonal visible, the only entry of a single sample.
    off_diagonal = 1 - torch.eye(len(student), dtype=difference.dtype, device=difference.device)
    pairs = len(student) * (len(student) - 1)
    return (difference * off_diagonal).square().sum() / max(pairs, 1)
