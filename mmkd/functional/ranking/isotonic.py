"""Isotonic regression of many rows at once: which neighbors it pools."""

import math
from itertools import count
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.ranking.numpy_sort import nonzero

# The first rounds look at neighbors only. They are cheap and drop most points.
_LOCAL_ROUNDS = 2
# Merging starts with tiles of this size. Solving one takes _TILE times its memory.
_TILE = 32


class Blocks(NamedTuple):
    """Runs of neighbors that partition rows (B, n). Some may be empty."""

    member: Tensor  # the block of each element, shape (B n,)
    begin: Tensor  # where each block begins in the flattened rows; the last entry is B n


def pool(rises: Tensor) -> Blocks:
    """Blocks on which the isotonic regression of each row is constant.

    On a CPU, points are dropped until a convex curve is left, which takes about as long as reading
    them. Elsewhere, neighbors are merged by a fixed number of operations, without waiting for the
    device.

    Args:
        rises: Difference of each value from the one before it, in float64. Shape (B, n - 1). A row
            with NaN gets arbitrary blocks and does not affect other rows.
    """
    return by_dropping(rises) if rises.device.type == 'cpu' else by_merging(rises)


def by_dropping(rises: Tensor) -> Blocks:
    """The blocks as the chords of a convex curve.

    The blocks end at the vertices of the greatest convex minorant of the points (k, sum of the
    first k values), k = 0 ... n. No vertex is on or above a chord of other points. Each round drops
    such points, until none is left. This takes at most n rounds, and fewer than ten in practice.

    Args:
        rises: See ``pool``.
    """
    rows, n = len(rises), rises.shape[1] + 1
    # A point with height NaN separates rows: slopes from or to it are NaN and drop nothing.
    height = rises.new_empty(rows, n + 2)
    height[:, 0], height[:, 1:3] = math.nan, 0.0
    torch.cumsum(rises.cumsum(-1), -1, out=height[:, 3:])
    index = nonzero(F.pad(rises > 0, (2, 1), value=True).flatten())
    points = _Points(index.double(), height.flatten().index_select(0, index))
    for rounds in count(1):
        slope = points.slopes()
        kept = _inner_without(slope[:-1] >= slope[1:])
        if len(kept) == len(index) or not rows:
            break
        points, index = points.only(kept), kept
        if rounds >= _LOCAL_ROUNDS:
            index = _below_far_chords(points, drawn=kept.diff() > 1)
            points = points.only(index)
    number = points.position.long()
    row = number.div(n + 2, rounding_mode='floor')
    begin = row * n + (number - row * (n + 2) - 1).clamp_(min=0)
    passed = begin.new_zeros(rows * n + 1).scatter_add_(0, begin[1:], torch.ones_like(begin[1:]))
    return Blocks(passed[:-1].cumsum(0), begin)


class _Points(NamedTuple):
    """Candidates for vertices, row after row."""

    position: Tensor
    height: Tensor

    def only(self, kept: Tensor) -> '_Points':
        return _Points(*(values.index_select(0, kept) for values in self))

    def slopes(self) -> Tensor:
        """Slopes of the chords between neighbors."""
        return self.height.diff().div_(self.position.diff())

    def slopes_to(self, ends: '_Points') -> Tensor:
        """Slopes of the chords from each point to its entry in ``ends``."""
        return (ends.height - self.height).div_(ends.position - self.position)


def _inner_without(dropped: Tensor) -> Tensor:
    """Indices of all points but the dropped ones. The first and the last point stay."""
    return nonzero(F.pad(dropped.logical_not_(), (1, 1), value=True))


def _below_far_chords(points: _Points, drawn: Tensor) -> Tensor:
    """Points not above a chord from a neighbor to the far end of the next new chord.

    Where a low point was found, its new chord may pass below a long convex run. This drops the
    whole run at once. Comparing neighbors would drop it point by point.

    Args:
        points: The points.
        drawn: Whether each chord between neighbors is new. Shape (number of points - 1).
    """
    slope = points.slopes()
    drawn.logical_or_(slope.isnan())  # chords end at the end of a row
    chords = nonzero(drawn)
    passed = F.pad(drawn, (1, 0)).cumsum(0)
    ahead = points.only(F.pad(chords + 1, (0, 1), value=len(slope))).only(passed)
    behind = points.only(F.pad(chords, (1, 0))).only(passed)
    onward, backward = points.slopes_to(ahead)[1:-1], points.slopes_to(behind)[1:-1]
    return _inner_without((slope[:-1] >= onward).logical_or_(backward >= slope[1:]))


def by_merging(rises: Tensor) -> Blocks:
    """The blocks as runs of equal values of the regression, merged from ever longer parts.

    Args:
        rises: See ``pool``.
    """
    n = rises.shape[1] + 1
    values = F.pad(rises.cumsum(-1), (1, 0))
    size = min(n, _TILE)
    width = size * 2 ** math.ceil(math.log2(n / size))
    # Padding with the largest value pools nothing that differs.
    filling = values.amax(-1, keepdim=True).expand(-1, width - n)
    parts = _regression_of_tiles(torch.cat((values, filling), -1).view(-1, size))
    while size < width:
        parts = _merged(*parts.view(-1, 2, size).unbind(1))
        size *= 2
    level = parts.view(-1, width)[:, :n]
    begins = F.pad(level.diff() != 0, (1, 0), value=True)
    member = begins.flatten().cumsum(0) - 1
    sizes = torch.zeros_like(member).scatter_add_(0, member, torch.ones_like(member))
    return Blocks(member, F.pad(sizes.cumsum(0), (1, 0)))


def _regression_of_tiles(values: Tensor) -> Tensor:
    """Isotonic regression of each row: at k, max over i <= k of min over j >= k of means i ... j.

    Args:
        values: Shape (T, s). Takes s times as much memory.
    """
    place = torch.arange(values.shape[-1], device=values.device)
    length = place - place[:, None] + 1
    sums = F.pad(values.cumsum(-1), (1, 0))
    mean = (sums[:, None, 1:] - sums[:, :-1, None]) / length
    least = mean.masked_fill(length < 1, math.inf).flip(-1).cummin(-1).values.flip(-1)
    return least.masked_fill(length < 1, -math.inf).amax(-2)


def _merged(left: Tensor, right: Tensor) -> Tensor:
    """Isotonic regression of rows, given that of their halves.

    It pools the end of the left half above some level and the start of the right half below it,
    and sets both to this level. The level is where the excess on the left fills the gap on the
    right.

    Args:
        left: Ascending values. Shape (T, s).
        right: Ascending values of the other half. Shape (T, s).

    Returns:
        Shape (T, 2 s).
    """
    left, right = left.contiguous(), right.contiguous()
    size = left.shape[-1]
    place = torch.arange(size, device=left.device)
    from_here = F.pad(left.flip(-1).cumsum(-1).flip(-1), (0, 1))
    before = F.pad(right.cumsum(-1), (1, 0))
    # If an element of the left half is the level: does the excess fill the gap?
    lower = torch.searchsorted(right, left)
    excess = from_here[:, :-1] + before.gather(-1, lower) - left * (size - place + lower)
    start = (excess >= 0).sum(-1, keepdim=True)
    # Elements of the right half join the block while they are below its mean so far.
    cut = from_here.gather(-1, start)
    end = (cut + before[:, :-1] > right * (size - start + place)).sum(-1, keepdim=True)
    level = (cut + before.gather(-1, end)) / (size - start + end)
    # If nothing is pooled, the level is 0 / 0. fmin and fmax ignore NaN.
    return torch.cat((torch.fmin(left, level), torch.fmax(right, level)), -1)
