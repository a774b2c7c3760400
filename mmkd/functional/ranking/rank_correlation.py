"""Pearson and Spearman correlation, with gradients, and the z-score."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_choice
from mmkd.functional.numerics import has_direction, l2_normalize, limited, upcast
from mmkd.functional.ranking.numpy_sort import argsort
from mmkd.functional.ranking.soft_rank import DEFAULT_STRENGTH, RankMethod, soft_rank, unsort
from mmkd.functional.saturation import saturating

TargetRanks = Literal['exact', 'soft']


@saturating
def pearson(x: Tensor, y: Tensor, dim: int = -1, *, degenerate: float = 0.0) -> Tensor:
    r"""Pearson's linear correlation coefficient.

    $$
    r = \frac{\sum_i (x_i - \bar x) (y_i - \bar y)}
             {\sqrt{\sum_i (x_i - \bar x)^2} \sqrt{\sum_i (y_i - \bar y)^2}}
    $$

    Args:
        x: Values. Any shape.
        y: Values. The size along ``dim`` must be the same. Other dimensions broadcast.
        dim: Dimension along which to correlate.
        degenerate: Value, with a zero gradient, where either side is constant.

    Returns:
        The broadcast shape without ``dim``, in [-1, 1], in float32 (float64 if an argument is).
        Equal arguments have exactly 1 and a zero gradient.

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
        # For unit vectors cos = 1 - |x - y|^2 / 2, which is exactly 1 with no gradient if equal.
        r = (1 - (x - y).square().sum(-1) / 2).clamp(min=-1.0)
        undefined = ~(has_direction(x) & has_direction(y) | r.isnan())
        return r.masked_fill(undefined, degenerate)


@saturating
def spearman(
    x: Tensor,
    y: Tensor,
    strength: float = DEFAULT_STRENGTH,
    method: RankMethod = 'fast',
    *,
    target_ranks: TargetRanks = 'exact',
    degenerate: float = 0.0,
) -> Tensor:
    """Spearman's rank correlation coefficient, differentiable in ``x``.

    It is Pearson's coefficient of the soft ranks of ``x`` and the ranks of ``y``. It is exact where
    the soft ranks are. With ``'fast'``, this is where all gaps exceed ``strength`` times the mean
    gap. Elsewhere, exact ranks of ``y`` give less than 1 even if ``x`` equals ``y``: by about 0.002
    for 100 normal values, and by 0.04 if one of them lies 12 standard deviations above the others.
    Soft ranks of ``y`` give exactly 1 and a zero gradient there.

    Args:
        x: Values. Shape (..., n).
        y: Values. Shape (..., n), where leading dimensions broadcast. It gets no gradient.
        strength: Smoothing of the ranks of ``x``. See ``soft_rank``. For a large value the
            coefficient becomes that of x itself and the ranks of y.
        method: ``'fast'`` or ``'pairwise'``. See ``soft_rank``.
        target_ranks: Ranks of ``y``: ``'exact'``, or ``'soft'`` like those of ``x``.
        degenerate: Value, with a zero gradient, where either side is constant.

    Returns:
        Shape (...), in [-1, 1], in float32 (float64 if an argument is).

    Raises:
        ValueError: If the sizes differ, ``strength`` is not positive, or ``method`` or
            ``target_ranks`` is unknown.

    Example:
        >>> spearman(torch.tensor([1.0, 2.0, 3.0]), torch.tensor([-5.0, 0.1, 900.0]))
        tensor(1.)
    """
    check_choice('target_ranks', target_ranks, get_args(TargetRanks))
    target = rank(y) if target_ranks == 'exact' else soft_rank(y.detach(), strength, method)
    return pearson(soft_rank(x, strength, method), target, degenerate=degenerate)


def rank(x: Tensor) -> Tensor:
    """Exact ranks 1 ... n of the values of each row, the smallest first. Ties share their mean.

    Args:
        x: Values. Shape (..., n).

    Returns:
        The same shape, without gradient, in float32 (float64 for float64). A row that contains NaN
        has ranks NaN.

    Example:
        >>> rank(torch.tensor([0.0, 9.0, 5.0, 5.0]))
        tensor([1.0000, 4.0000, 2.5000, 2.5000])
    """
    x = upcast(x.detach())
    order = argsort(x)
    rows = x.gather(-1, order)
    differs = rows[..., 1:] != rows[..., :-1]
    place = torch.arange(1, x.shape[-1] + 1, device=x.device).expand(x.shape)
    # The first and the last place in each value's run of equal values.
    first = place.where(F.pad(differs, (1, 0), value=True), 1).cummax(-1).values
    ends = place.where(F.pad(differs, (0, 1), value=True), x.shape[-1])
    last = ends.flip(-1).cummin(-1).values.flip(-1)
    ranks = unsort(((first + last) / 2).to(x.dtype), order)
    return ranks.masked_fill(x.isnan().any(-1, keepdim=True), float('nan'))


@saturating
def zscore(logits: Tensor) -> Tensor:
    r"""The z-score of each row.

    $$
    \hat z_i = \frac{z_i - \mu}{\sigma}, \qquad
    \mu = \frac1C \sum_i z_i, \qquad \sigma^2 = \frac{1}{C - 1} \sum_i (z_i - \mu)^2
    $$

    Niu et al. 2024, eq. 9-11: <https://arxiv.org/abs/2410.06561>.

    Args:
        logits: Shape (..., C).

    Returns:
        The same shape, in float32 (float64 for float64). A constant row, also one with C = 1, gives
        0 without gradient.

    Example:
        >>> zscore(torch.tensor([[1.0, 2.0, 3.0], [5.0, 5.0, 5.0]]))
        tensor([[-1.0000,  0.0000,  1.0000],
                [ 0.0000,  0.0000,  0.0000]])
    """
    with torch.autocast(logits.device.type, enabled=False):
        return (logits.shape[-1] - 1) ** 0.5 * _unit_deviations(logits)


def _unit_deviations(x: Tensor) -> Tensor:
    """Deviations of each row from its mean, at length 1. A constant row gives 0."""
    x = limited(upcast(x), power=1, dim=-1)
    # The rounded mean of a constant row would leave deviations. For infinite rows the difference
    # is NaN, not 0.
    constant = x.detach().amax(-1, keepdim=True) - x.detach().amin(-1, keepdim=True) == 0
    return l2_normalize((x - x.mean(-1, keepdim=True)).masked_fill(constant, 0.0))
