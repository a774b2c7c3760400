"""Pearson and Spearman correlation, with gradients, and the z-score."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.numerics import has_direction, l2_normalize, upcast
from mmkd.functional.ranking.numpy_sort import argsort
from mmkd.functional.ranking.soft_rank import DEFAULT_STRENGTH, soft_rank, unsort


def pearson(x: Tensor, y: Tensor, dim: int = -1, *, degenerate: float = 0.0) -> Tensor:
    r"""Pearson's linear correlation coefficient.

    .. math::
        r = \frac{\sum_i (x_i - \bar x) (y_i - \bar y)}
                 {\sqrt{\sum_i (x_i - \bar x)^2} \sqrt{\sum_i (y_i - \bar y)^2}}

    Args:
        x: Values. Any shape.
        y: Values, as many along ``dim``; the other dimensions broadcast.
        dim: Dimension along which to correlate.
        degenerate: Value, with a zero gradient, where either side is constant.

    Returns:
        The broadcast shape without ``dim``, in [-1, 1], in float32, or float64 if an argument is.
        It is exactly 1, with a zero gradient, where the arguments are equal. Half precision is
        upcast and autocast is off inside.

    Raises:
        ValueError: If the sizes along ``dim`` differ.

    Example:
        >>> x = torch.tensor([1.0, 2.0, 6.0])
        >>> pearson(x, torch.tensor([2.0, 4.0, 12.0]))
        tensor(1.)
        >>> pearson(x, torch.tensor([2.0, 1.0, 3.0]))
        tensor(0.7559)
    """
    if x.shape[dim] != y.shape[dim]:
        raise ValueError(
            f"y: expected x's size {x.shape[dim]} along dimension {dim}, got {y.shape[dim]}"
        )
    with torch.autocast(x.device.type, enabled=False):
        x, y = _unit_deviations(x.movedim(dim, -1)), _unit_deviations(y.movedim(dim, -1))
        # For unit vectors cos = 1 - |x - y|^2 / 2: at most 1, and 1 with no gradient if equal.
        r = (1 - (x - y).square().sum(-1) / 2).clamp(min=-1.0)
        undefined = ~(has_direction(x) & has_direction(y) | r.isnan())
        return r.masked_fill(undefined, degenerate)


def spearman(
    x: Tensor,
    y: Tensor,
    strength: float = DEFAULT_STRENGTH,
    method: str = 'fast',
    *,
    degenerate: float = 0.0,
) -> Tensor:
    """Spearman's rank correlation coefficient, differentiable in ``x``.

    Pearson's coefficient of the soft ranks of ``x`` and the exact ranks of ``y``. It is exact
    where the soft ranks are: with ``'fast'``, where neighboring values of ``x`` are further apart
    than ``strength`` times their mean gap. Elsewhere it is below 1 even for ``x`` equal to ``y``,
    by about 0.002 for 100 normal values, and 0.04 if one of them is 12 standard deviations above
    the others.

    Args:
        x: Values. Shape (..., n).
        y: Values, shape (..., n); leading dimensions broadcast. No gradient flows into them.
        strength: Smoothing of the ranks of ``x``; see :func:`soft_rank`. For a large one the
            coefficient is no longer of ranks: it becomes that of x and the ranks of y.
        method: ``'fast'`` or ``'pairwise'``; see there.
        degenerate: Value, with a zero gradient, where either side is constant.

    Returns:
        Shape (...), in [-1, 1], in float32, or float64 if an argument is.

    Raises:
        ValueError: If the numbers of values differ, ``strength`` is not positive or ``method``
            unknown.

    Example:
        >>> spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-5.0, 0.1, 900.0]))
        tensor(1.)
    """
    return pearson(soft_rank(x, strength, method), rank(y), degenerate=degenerate)


def rank(x: Tensor) -> Tensor:
    """Exact ranks 1 ... n of the values of each row, the smallest first; ties get their mean.

    Args:
        x: Values. Shape (..., n).

    Returns:
        The same shape, without gradient, in float32, or float64 for such an input. A row that
        contains NaN has ranks NaN.

    Example:
        >>> rank(torch.tensor([0.0, 9.0, 5.0, 5.0]))
        tensor([1.0000, 4.0000, 2.5000, 2.5000])
    """
    x = upcast(x.detach())
    order = argsort(x)
    rows = x.gather(-1, order)
    differs = rows[..., 1:] != rows[..., :-1]
    place = torch.arange(1, x.shape[-1] + 1, device=x.device).expand(x.shape)
    # The first and the last place of the run of equal values that each value is in.
    first = place.where(F.pad(differs, (1, 0), value=True), 1).cummax(-1).values
    ends = place.where(F.pad(differs, (0, 1), value=True), x.shape[-1])
    last = ends.flip(-1).cummin(-1).values.flip(-1)
    ranks = unsort(((first + last) / 2).to(x.dtype), order)
    return ranks.masked_fill(x.isnan().any(-1, keepdim=True), float('nan'))


def zscore(logits: Tensor) -> Tensor:
    r"""The z-score of each row.

    .. math::
        \hat z_i = \frac{z_i - \mu}{\sigma}, \qquad
        \mu = \frac1C \sum_i z_i, \qquad \sigma^2 = \frac{1}{C - 1} \sum_i (z_i - \mu)^2

    Niu et al., "Efficient and Robust Knowledge Distillation from A Stronger Teacher Based on
    Correlation Matching" (2024), eq. 9-11.

    Args:
        logits: Shape (..., C).

    Returns:
        The same shape, in float32, or float64 for such an input; 0, without gradient, in a
        constant row, as is one with C = 1.

    Example:
        >>> zscore(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
        tensor([[-1.0000,  0.0000,  1.0000],
                [ 0.0000,  0.0000,  0.0000]])
    """
    with torch.autocast(logits.device.type, enabled=False):
        return (logits.shape[-1] - 1) ** 0.5 * _unit_deviations(logits)


def _unit_deviations(x: Tensor) -> Tensor:
    """Deviations of each row from its mean at Euclidean length 1; 0 where it is constant."""
    x = upcast(x)
    # The mean of a constant row is off by a rounding error that would become the signal. The
    # difference is NaN, not 0, where a row is infinite.
    constant = x.detach().amax(-1, keepdim=True) - x.detach().amin(-1, keepdim=True) == 0
    return l2_normalize((x - x.mean(-1, keepdim=True)).masked_fill(constant, 0.0))
