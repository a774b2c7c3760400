"""Cosine kernel of a batch, and the distance between those of two networks (FKD)."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from mmkd.functional.checks import check_choice, check_matrix
from mmkd.functional.numerics import l2_normalize, limited, upcast
from mmkd.functional.saturation import saturating

Pairs = Literal['distinct', 'all']


@saturating
def feature_kernel(features: Tensor, normalize: bool = True) -> Tensor:
    r"""Correlation kernel of the features of B samples: the cosines between them.

    $$ \rho_{ij} = \frac{\langle f_i, f_j \rangle}{\|f_i\| \|f_j\|} $$

    He & Ozay, ICLR 2022, sec. 4: <https://openreview.net/forum?id=tBIQEvApZK5>. Rotating all
    features, or scaling a sample by a positive factor, changes nothing.

    Args:
        features: One row a sample. Shape (B, D).
        normalize: Divide each row by its length. False gives the inner products, the paper's
            feature kernel k.

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
        rows = l2_normalize(features) if normalize else limited(upcast(features), power=4)
        return rows @ rows.mT


@saturating
def feature_kernel_distance(
    student: Tensor,
    *teachers: Tensor,
    normalize: bool = True,
    exponent: float = 2.0,
    pairs: Pairs = 'distinct',
) -> Tensor:
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
        normalize: Compare correlation kernels. False compares the feature kernels of eq. 3.
        exponent: Power p of the absolute differences, >= 1, as in eq. 3.
        pairs: ``'distinct'`` averages over the B (B - 1) pairs of different samples, as Algorithm 1
            does. ``'all'`` averages over all B^2, as Algorithm 2 does. The diagonals of
            correlation kernels are equal, so ``'all'`` is (B - 1) / B of ``'distinct'`` there.

    Returns:
        A scalar, in float32 (float64 if an argument is). By default it is in [0, 4], and 0 for one
        sample or none.

    Raises:
        TypeError: If no teacher is given.
        ValueError: If a shape is wrong, ``exponent`` is below 1 or ``pairs`` is unknown.

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
    check_exponent(exponent)
    check_choice('pairs', pairs, get_args(Pairs))
    target = torch.stack([feature_kernel(teacher, normalize) for teacher in teachers]).mean(0)
    difference = feature_kernel(student, normalize) - target
    count = len(student) ** 2
    if pairs == 'distinct':
        # Multiplying keeps NaN on the diagonal visible, the only entry of a single sample.
        eye = torch.eye(len(student), dtype=difference.dtype, device=difference.device)
        difference = difference * (1 - eye)
        count -= len(student)
    powers = difference.square() if exponent == 2 else difference.abs().pow(exponent)
    return powers.sum() / max(count, 1)


def check_exponent(exponent: float) -> None:
    """Raise ValueError unless ``exponent`` is a finite number >= 1."""
    if not 1 <= exponent < math.inf:
        raise ValueError(f'exponent: expected a finite number >= 1, got {exponent!r}')
