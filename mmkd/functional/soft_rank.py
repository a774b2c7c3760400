"""Differentiable ranks: projection onto the permutahedron, and sums of sigmoids."""

from itertools import count
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from mmkd.functional.checks import check_choice, check_positive
from mmkd.functional.cka import upcast

METHODS = ('fast', 'pairwise')
# Less leaves more values alone and so without a gradient; more draws rank correlations of a row
# with a far outlier towards linear ones.
DEFAULT_STRENGTH = 0.5
# Rounds that look at neighbours only: cheap, and few points are left to drop after them.
_LOCAL_ROUNDS = 5


def soft_rank(x: Tensor, strength: float = DEFAULT_STRENGTH, method: str = 'fast') -> Tensor:
    r"""Differentiable ranks 1 ... n of the values of each row, the smallest first.

    With z the row in units of ``strength`` times its mean gap, :math:`z = x / \epsilon`,
    :math:`\epsilon = \mathrm{strength} \cdot (\max x - \min x) / (n - 1)`:

    ``'fast'`` is the Euclidean projection of z onto the permutahedron, the convex hull of the
    permutations of (1, ..., n): Blondel et al., "Fast Differentiable Sorting and Ranking" (2020),
    sec. 4 and prop. 3. It costs a sort and an isotonic regression, O(n log n). Where all gaps are
    above :math:`\epsilon` the ranks are exact, with a zero gradient. Values that are closer are
    pooled in blocks, in which the rank is linear in x with slope :math:`1 / \epsilon`.

    ``'pairwise'`` is :math:`0.5 + \sum_j \mathrm{sigmoid}(z_i - z_j)`: smooth everywhere, with
    O(n^2) time and memory.

    Both sum to n (n + 1) / 2 in each row, give equal values equal ranks, and tend to the exact
    average ranks for a small ``strength``. For a large one they become affine in x, and a rank
    correlation the linear one. The unit :math:`\epsilon` is a constant for the gradient: to pull
    the extremes in shall not be a way to sharpen the ranks.

    Args:
        x: Values. Shape (..., n).
        strength: Smoothing, in mean gaps of the row; 1 is the range / (n - 1).
        method: ``'fast'`` or ``'pairwise'``.

    Returns:
        The shape of ``x``, in float32, or float64 if ``x`` is float64. A constant row has ranks
        (n + 1) / 2 and a zero gradient; one that is not finite has ranks NaN.

    Raises:
        ValueError: If ``strength`` is not positive, ``method`` unknown or ``x`` has no values.

    Example:
        >>> x = torch.tensor([0.0, 9.0, 5.0, 5.2])
        >>> soft_rank(x, strength=0.01)
        tensor([1., 4., 2., 3.])
        >>> soft_rank(x, strength=1.0)
        tensor([1.0000, 3.8667, 2.5333, 2.6000])
    """
    check_positive('strength', strength)
    check_choice('method', method, METHODS)
    if x.ndim == 0 or x.shape[-1] == 0:
        raise ValueError(f'x: expected a shape (..., n) with n >= 1, got {tuple(x.shape)}')
    with torch.autocast(x.device.type, enabled=False):
        if method == 'fast':
            return _Projection.apply(upcast(x), strength)
        return _pairwise(upcast(x), strength)


def _pairwise(x: Tensor, strength: float) -> Tensor:
    low, high = x.detach().amin(-1, keepdim=True), x.detach().amax(-1, keepdim=True)
    z = (x - low) * _per_unit(high - low, x.shape[-1], strength)
    return 0.5 + (z[..., :, None] - z[..., None, :]).sigmoid().sum(-1)


def _per_unit(span: Tensor, n: int, strength: float) -> Tensor:
    """1 / epsilon for rows of n values of range ``span``; 0 for constant rows."""
    constant = span == 0
    return ((n - 1) / strength / span.masked_fill(constant, 1.0)).masked_fill(constant, 0.0)


class _Blocks(NamedTuple):
    """Runs of neighbours that partition the sorted rows (B, n)."""

    bound: Tensor  # where they begin and end, as indices of flattened prefix sums (B, n + 1)
    begin: Tensor  # the same as indices of flattened rows (B, n)
    member: Tensor  # the block of each element, shape (B n,)


class _Projection(torch.autograd.Function):
    """Ranks by isotonic regression.

    For a sorted row the projection of z is z - v, where v is the isotonic regression of
    z - (1, ..., n): its mean over each of some blocks. So a rank is the deviation of z from the
    mean of its block plus the block's mean rank, and the Jacobian takes deviations too.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, strength: float) -> Tensor:
        rows, order = x.reshape(-1, x.shape[-1]).sort(-1)
        rows = rows.double()  # prefix sums of float32 would lose digits
        per_unit = _per_unit(rows[:, -1:] - rows[:, :1], rows.shape[-1], strength)
        z = (rows - rows[:, :1]) * per_unit
        blocks = _pool(z)
        ranks = _deviations(z, blocks) + _mean_ranks(blocks, z.shape[-1]).view_as(z)
        ctx.save_for_backward(order, per_unit, *blocks)
        return unsort(ranks.to(x.dtype), order).view_as(x)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, None]:
        order, per_unit, *blocks = ctx.saved_tensors
        rows = grad.reshape(order.shape).gather(-1, order).double()
        rows = _deviations(rows, _Blocks(*blocks)) * per_unit
        return unsort(rows.to(grad.dtype), order).view_as(grad), None


def unsort(rows: Tensor, order: Tensor) -> Tensor:
    """Rows put back where ``order``, from sorting, took them."""
    return torch.empty_like(rows).scatter_(-1, order, rows)


def _pool(z: Tensor) -> _Blocks:
    """Blocks of the isotonic regression of each sorted row minus (1, ..., n)."""
    n = z.shape[-1]
    # No block spans a gap above n / 2: a longer one would only cost the others digits.
    rises = z.diff().clamp(max=n) - 1
    bound = _convex_minorant(F.pad(rises.cumsum(-1), (1, 0)))
    begin = bound - bound // (n + 1)
    member = torch.repeat_interleave(begin.diff(), output_size=z.numel())
    return _Blocks(bound, begin, member)


def _convex_minorant(d: Tensor) -> Tensor:
    """Bounds of the blocks on which the isotonic regression of the rows of ``d`` is constant.

    They are the vertices of the greatest convex minorant of the points (k, sum of the first k
    values), k = 0 ... n, and no vertex is on or above a chord of other points. Rounds drop points
    that are until none is left: at most n, about ten in practice, with two waits for the device
    in each.

    Args:
        d: Shape (B, n).

    Returns:
        Indices of the flattened points (B, n + 1) in order, both ends of each row among them.
    """
    n = d.shape[-1]
    # Tilted so that each row begins and ends at height 0. As it also begins at the position at
    # which the one before ends, the slope between the two is NaN, which no comparison drops.
    d = d - d.mean(-1, keepdim=True)
    height = F.pad(d.cumsum(-1)[:, :-1], (1, 1)).flatten()
    index = F.pad(d.diff() > 0, (1, 1), value=True).flatten().nonzero().squeeze(1)
    position = (index - index // (n + 1)).to(d.dtype)
    points = _Points(index, position, height.index_select(0, index))
    for rounds in count(1):
        slope = points.height.diff() / points.position.diff()
        convex = ~(slope[:-1] >= slope[1:])
        if convex.all():
            break
        kept = F.pad(convex, (1, 1), value=True).nonzero().squeeze(1)
        points = points.only(kept)
        if rounds >= _LOCAL_ROUNDS:
            points = _drop_above_far_chords(points, drawn=kept.diff() > 1)
    return points.number


class _Points(NamedTuple):
    """Candidates for vertices, row after row; each row has both of its ends."""

    number: Tensor  # in the flattened points (B, n + 1)
    position: Tensor
    height: Tensor

    def only(self, kept: Tensor) -> '_Points':
        return _Points(*(values.index_select(0, kept) for values in self))


def _drop_above_far_chords(points: _Points, drawn: Tensor) -> _Points:
    """Drop the points above a chord from a neighbour to the far end of a new chord or the row.

    When a low point has been found, it takes the place of a long convex run beside it: all of
    which goes at once, where neighbours alone would tell it point by point.

    Args:
        points: The points.
        drawn: Whether each chord between neighbours is a new one. Shape (number of points - 1).
    """
    _, position, height = points
    slope = height.diff() / position.diff()
    # To the end of its row is to the first point of the next, which has the same coordinates.
    drawn = drawn | (position.diff() == 0)
    chords = drawn.nonzero().squeeze(1)
    passed = F.pad(drawn, (1, 0)).cumsum(0)
    ahead = F.pad(chords + 1, (0, 1), value=len(position) - 1).index_select(0, passed)
    behind = F.pad(chords, (1, 0)).index_select(0, passed)
    onward, backward = _slopes(points, ahead)[1:-1], _slopes(points, behind)[1:-1]
    convex = ~((slope[:-1] >= onward) | (backward >= slope[1:]))
    return points.only(F.pad(convex, (1, 1), value=True).nonzero().squeeze(1))


def _slopes(points: _Points, to: Tensor) -> Tensor:
    """Slope of the chord from each point to the one of index ``to``."""
    end = points.only(to)
    return (end.height - points.height) / (end.position - points.position)


def _deviations(rows: Tensor, blocks: _Blocks) -> Tensor:
    """Difference of each element of sorted rows (B, n) from the mean of its block."""
    # From each block's first element, so that blocks of one or of equal elements are exactly 0.
    first = rows.flatten().index_select(0, blocks.begin[:-1])
    rows = rows - first.index_select(0, blocks.member).view_as(rows)
    sums = F.pad(rows.cumsum(-1), (1, 0)).flatten().index_select(0, blocks.bound).diff()
    mean = sums / blocks.begin.diff()
    return rows - mean.index_select(0, blocks.member).view_as(rows)


def _mean_ranks(blocks: _Blocks, n: int) -> Tensor:
    """Mean of the ranks 1 ... n over the block of each element, shape (B n,)."""
    before = blocks.bound % (n + 1)
    mean = (before[:-1] + before[1:] + 1).double() / 2
    return mean.index_select(0, blocks.member)
