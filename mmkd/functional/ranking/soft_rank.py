"""Differentiable ranks: projection onto the permutahedron, and sums of sigmoids."""

import math
from typing import Any, Literal, get_args

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.functional.checks import check_choice, check_positive
from mmkd.functional.numerics import limited, smallest_length, upcast
from mmkd.functional.ranking.isotonic import pool
from mmkd.functional.ranking.numpy_sort import argsort
from mmkd.functional.saturation import saturating

RankMethod = Literal['fast', 'pairwise']
# Below this, more values have exact ranks and no gradient. Above it, a far outlier makes the rank
# correlation of its row more linear.
DEFAULT_STRENGTH = 0.5


@saturating
def soft_rank(x: Tensor, strength: float = DEFAULT_STRENGTH, method: RankMethod = 'fast') -> Tensor:
    r"""Differentiable ranks 1 ... n of the values of each row, the smallest first.

    $z = x / \epsilon$ is the row in units of ``strength`` times its mean gap:
    $\epsilon = \mathrm{strength} \cdot (\max x - \min x) / (n - 1)$.

    ``'fast'`` projects z onto the permutahedron, the convex hull of the permutations of
    (1, ..., n): Blondel et al., ICML 2020, sec. 4 and prop. 3: <https://arxiv.org/abs/2002.08871>.
    It takes a sort and an isotonic regression, O(n log n). If all gaps exceed $\epsilon$, the
    ranks are exact and have no gradient. Closer values form blocks, where the rank is linear in x
    with slope $1 / \epsilon$.

    ``'pairwise'`` is $0.5 + \sum_j \mathrm{sigmoid}(z_i - z_j)$. It is smooth everywhere and takes
    O(n^2) time and memory.

    Both sum to n (n + 1) / 2 in each row and give equal values equal ranks. They tend to the exact
    average ranks for a small ``strength``. For a large one they become affine in x, so a rank
    correlation becomes the linear one. Epsilon is detached, so the model cannot sharpen ranks by
    shrinking the range.

    Args:
        x: Values. Shape (..., n).
        strength: Smoothing, in mean gaps of the row. 1 is the range / (n - 1).
        method: ``'fast'`` or ``'pairwise'``.

    Returns:
        The shape of ``x``, in float32 (float64 for float64). A constant row has ranks (n + 1) / 2
        and a zero gradient. A row that is not finite has ranks NaN.

    Raises:
        ValueError: If ``strength`` is not positive, ``method`` is unknown or ``x`` has no values.

    Example:
        >>> x = torch.tensor([0.0, 9.0, 5.0, 5.2])
        >>> soft_rank(x, strength=0.01)
        tensor([1., 4., 2., 3.])
        >>> soft_rank(x, strength=1.0)
        tensor([1.0000, 3.8667, 2.5333, 2.6000])
    """
    check_positive('strength', strength)
    check_choice('method', method, get_args(RankMethod))
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f'x: expected a shape (..., n) with n >= 1, got {tuple(x.shape)}')
    with torch.autocast(x.device.type, enabled=False):
        if method == 'fast':
            return _Projection.apply(upcast(x), strength)
        return _pairwise(upcast(x), strength)


def _pairwise(x: Tensor, strength: float) -> Tensor:
    x = limited(x, power=1, dim=-1)
    low, high = x.detach().amin(-1, keepdim=True), x.detach().amax(-1, keepdim=True)
    z = (x - low) * _per_unit(high - low, x.shape[-1], strength)
    return 0.5 + (z[..., :, None] - z[..., None, :]).sigmoid().sum(-1)


def _per_unit(span: Tensor, n: int, strength: float) -> Tensor:
    """1 / epsilon of rows of n values with range ``span``: 0 if constant, NaN if infinite."""
    constant = span < smallest_length(torch.float32)
    per_unit = ((n - 1) / strength / span.masked_fill(constant, 1.0)).masked_fill(constant, 0.0)
    return per_unit.masked_fill(span.isinf(), math.nan)


class _Projection(torch.autograd.Function):
    """Ranks by isotonic regression.

    The projection of a sorted row z is z - v. v is the isotonic regression of z - (1, ..., n),
    which is its mean over each of some blocks. A rank is thus the deviation of z from the mean of
    its block, plus the block's mean rank. The Jacobian takes deviations from block means, too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        n = x.shape[-1]
        rows = x.reshape(-1, n)
        order = argsort(rows)
        ordered = rows.gather(-1, order).double()  # float32 sums would lose digits
        per_unit = _per_unit(ordered[:, -1:] - ordered[:, :1], n, strength)
        # No block spans a gap above n / 2. Clamping larger gaps saves digits.
        member, begin = pool(ordered.diff().mul_(per_unit).clamp_(max=n).sub_(1))
        size = begin.diff().double()
        # Relative to its first element, a block of equal elements is exactly 0.
        # Empty blocks may begin behind the last element.
        first = ordered.flatten().index_select(0, begin[:-1].clamp(max=x.numel() - 1))
        mean_rank = begin[:-1] % n + (size + 1) / 2
        member = unsort(member.view_as(order), order).flatten()
        values = rows.flatten().double() - first.index_select(0, member)
        deviations = _deviations(values, member, size)
        ranks = deviations.view_as(order).mul_(per_unit).view(-1)
        ranks.add_(mean_rank.index_select(0, member))
        ctx.save_for_backward(member, size, per_unit.view(*x.shape[:-1], 1))
        return ranks.to(x.dtype).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        member, size, per_unit = ctx.saved_tensors
        deviations = _deviations(grad.reshape(-1).double(), member, size)
        return deviations.view_as(grad).mul_(per_unit).to(grad.dtype), None


def _deviations(values: Tensor, member: Tensor, size: Tensor) -> Tensor:
    """Difference of each value, shape (N,), from the mean of its block."""
    sums = torch.zeros_like(size).scatter_add_(0, member, values)
    return values - (sums / size).index_select(0, member)


def unsort(rows: Tensor, order: Tensor) -> Tensor:
    """Undo the sorting of rows by ``order``."""
    return torch.empty_like(rows).scatter_(-1, order, rows)
