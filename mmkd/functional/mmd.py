"""Maximum mean discrepancy (MMD) of the similarities within two sets of representations."""

from torch import Tensor

from mmkd.functional.checks import check_same_rows
from mmkd.functional.numerics import l2_normalize
from mmkd.functional.saturation import saturating


@saturating
def mmd(x: Tensor, y: Tensor) -> Tensor:
    r"""Squared difference of the mean similarities of N things in two representations.

    $$
    \Bigl( \frac{1}{N^2} \sum_{ij} K_{ij} - \frac{1}{N^2} \sum_{ij} L_{ij} \Bigr)^2,
    \qquad K_{ij} = \frac{\langle x_i, x_j \rangle}{\|x_i\| \|x_j\|},\;
    L_{ij} = \frac{\langle y_i, y_j \rangle}{\|y_i\| \|y_j\|}
    $$

    Zhou et al., IJCAI 2024, compare it with CKA in Theorem 2 and Table 6:
    <https://arxiv.org/abs/2401.11824>. It compares the means only, so it is 0 for some unequal
    sets, too. The mean of K is the squared length of the mean unit row, so no N x N matrix is
    needed.

    Args:
        x: One row a thing. Shape (..., N, P).
        y: One row a thing. Shape (..., N, Q). Its leading dimensions broadcast with those of ``x``.

    Returns:
        Shape (...), in [0, 1], in float32 (float64 if an argument is). It is 0 for no rows. A row
        of zeros has similarity 0 to every row and to itself.

    Raises:
        ValueError: If the row counts differ.

    Example:
        >>> import torch
        >>> x = torch.tensor([[2.0, 0.0], [0.0, 3.0]])  # K = I, mean 1 / 2
        >>> mmd(x, torch.tensor([[5.0], [7.0]]))  # L = 1 everywhere
        tensor(0.2500)
    """
    check_same_rows(x, y)
    return (_mean_similarity(x) - _mean_similarity(y)).square()


def _mean_similarity(x: Tensor) -> Tensor:
    mean_row = l2_normalize(x).sum(-2) / max(x.shape[-2], 1)
    return mean_row.square().sum(-1)
