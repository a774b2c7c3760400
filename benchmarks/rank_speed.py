"""Speed of soft ranks, forward and backward, against a solver in Numba and one in C++.

Each candidate projects rows of normal values onto the permutahedron. The others get the rows in
units of the strength. All must agree. `row by row` follows the method's authors (Blondel et al.
2020, sec. 4-5) and their package fast-soft-sort: one object a row, NumPy's argsort, pooling of
adjacent violators in Numba, and a Python loop over the blocks in the backward pass. `torchsort` is
the package of that name. A candidate that is not installed is left out.

    python benchmarks/rank_speed.py --threads 2 --repeats 15
"""

import importlib.util
from collections.abc import Callable

import numpy as np
import torch
from timing import (
    Candidates,
    Times,
    in_turn,
    parser_of,
    print_table,
    ratios,
    spread,
    start,
    write_json,
)
from torch import Tensor

from mmkd.functional import soft_rank

SIZES = ((256, 100), (256, 1000))
STRENGTHS = (0.5, 5.0)  # the default, and one with blocks almost as long as the rows
ROW_COUNTS, WIDTH = (64, 256, 1024, 4096), 100
OURS = 'mmkd'

SoftRank = Callable[[Tensor], Tensor]  # of values in units of the strength


def compiled_pooling() -> Callable[[np.ndarray], np.ndarray]:
    """Isotonic regression of one row, descending, by pooling of adjacent violators."""
    import numba

    @numba.njit
    def pooled(values: np.ndarray) -> np.ndarray:
        level, size = np.empty(len(values)), np.empty(len(values), np.int64)
        last = -1
        for value in values:
            last += 1
            level[last], size[last] = value, 1
            while last > 0 and level[last - 1] <= level[last]:
                joint = size[last - 1] + size[last]
                total = level[last - 1] * size[last - 1] + level[last] * size[last]
                last -= 1
                level[last], size[last] = total / joint, joint
        fitted, begin = np.empty(len(values)), 0
        for block in range(last + 1):
            fitted[begin : begin + size[block]] = level[block]
            begin += size[block]
        return fitted

    return pooled


class RowProjection:
    """Projection of one row, with its backward pass."""

    def __init__(self, values: np.ndarray, pooled: Callable[[np.ndarray], np.ndarray]) -> None:
        self.order = np.argsort(values)[::-1]
        self.inverse = np.empty_like(self.order)
        self.inverse[self.order] = np.arange(len(values))
        ordered = values[self.order]
        self.fitted = pooled(ordered - np.arange(len(values), 0, -1))
        self.ranks = (ordered - self.fitted)[self.inverse].astype(values.dtype)

    def backward(self, grad: np.ndarray) -> np.ndarray:
        """Deviations of the gradient from its mean over each block."""
        ordered, means = grad[self.order], np.empty_like(grad)
        begin, n = 0, len(grad)
        for end in range(1, n + 1):
            if end == n or abs(self.fitted[end] - self.fitted[end - 1]) > 1e-9:
                means[begin:end] = np.sum(ordered[begin:end]) / (end - begin)
                begin = end
        return grad - means[self.inverse]


def row_by_row() -> SoftRank:
    """A function that solves one row at a time."""
    pooled = compiled_pooling()

    class Projection(torch.autograd.Function):
        @staticmethod
        def forward(ctx, values: Tensor) -> Tensor:
            ctx.projection = RowProjection(values.detach().numpy(), pooled)
            return torch.from_numpy(ctx.projection.ranks)

        @staticmethod
        def backward(ctx, grad: Tensor) -> Tensor:
            return torch.from_numpy(ctx.projection.backward(grad.numpy()))

    return lambda values: torch.stack([Projection.apply(row) for row in values.unbind()])


def baselines(device: str) -> dict[str, SoftRank]:
    """The installed solvers to compare with."""
    found: dict[str, SoftRank] = {}
    if device != 'cpu':
        print('row by row left out: it computes on the CPU')
    elif importlib.util.find_spec('numba') is None:
        print('row by row left out: Numba is not installed')
    else:
        found['row by row'] = row_by_row()
    if importlib.util.find_spec('torchsort') is None:
        print('torchsort left out: it is not installed')
    else:
        import torchsort

        found['torchsort'] = torchsort.soft_rank
    return found


def candidates(
    shape: tuple[int, int], strength: float, device: str, others: dict[str, SoftRank]
) -> Candidates:
    """A forward and backward pass of each solver, over the same rows."""
    generator = torch.Generator().manual_seed(0)
    x, weight = torch.randn(2, *shape, generator=generator).to(device)
    span = x.amax(-1, keepdim=True) - x.amin(-1, keepdim=True)
    unit = strength * span / (shape[1] - 1)
    in_units = (x / unit).requires_grad_()
    x.requires_grad_()

    def step(function: SoftRank, values: Tensor) -> Tensor:
        return torch.autograd.grad((function(values) * weight).sum(), values)[0]

    ranks, gradient = soft_rank(x, strength), step(lambda v: soft_rank(v, strength), x) * unit
    for name, other in others.items():
        # torchsort sums in float32.
        if (other(in_units) - ranks).abs().max() > 1e-5 * shape[1]:
            raise RuntimeError(f'{name} disagrees on the ranks')
        if (step(other, in_units) - gradient).abs().max() > 1e-4:
            raise RuntimeError(f'{name} disagrees on the gradient')
    return {
        OURS: lambda: step(lambda v: soft_rank(v, strength), x),
        **{name: lambda o=other: step(o, in_units) for name, other in others.items()},
    }


def keep_freed_memory() -> None:
    """Let the C library keep freed memory, as it does in training.

    Freeing one large tensor makes it keep blocks of up to this size. Otherwise each step would wait
    for fresh pages.
    """
    torch.empty(30 << 20, dtype=torch.uint8)


def compare(repeats: int, device: str) -> dict[str, Times]:
    """Seconds of each candidate, at each size and strength."""
    others = baselines(device)
    results = {}
    for strength in STRENGTHS:
        for rows, n in SIZES:
            steps = candidates((rows, n), strength, device, others)
            calls = 1000 // n  # long enough to time
            results[f'{rows} x {n}, strength {strength}'] = in_turn(steps, repeats, device, calls)
    return results


def scale(repeats: int, device: str) -> Times:
    """Seconds of ours, by the number of rows."""
    steps = {
        str(rows): candidates((rows, WIDTH), STRENGTHS[0], device, {})[OURS] for rows in ROW_COUNTS
    }
    return in_turn(steps, repeats, device)


def main() -> None:
    """Measure, print, and write if asked."""
    args = start(parser_of(__doc__, repeats=15))
    keep_freed_memory()
    results = compare(args.repeats, args.device)
    names = [name for name in next(iter(results.values())) if name != OURS]
    print_table(
        ['rows', f'{OURS}, ms', *(f'{name} / {OURS}' for name in names)],
        [
            [label, spread([1e3 * seconds for seconds in times[OURS]])]
            + [spread(ratios(times[name], times[OURS])) for name in names]
            for label, times in results.items()
        ],
    )
    growth, first = scale(args.repeats, args.device), str(ROW_COUNTS[0])
    print()
    print_table(
        [f'rows of {WIDTH}', f'{OURS}, ms', f'times that of {first}'],
        [
            [rows, spread([1e3 * s for s in times]), spread(ratios(times, growth[first]))]
            for rows, times in growth.items()
        ],
    )
    write_json(args, {'seconds': results, 'seconds by rows': growth})


if __name__ == '__main__':
    main()
