"""Rows of all processes, and means and sums over them, with gradients."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def gather_rows(x: Tensor) -> Tensor:
    """Concatenate ``x`` of all processes along its first dimension, in the order of their ranks.

    Every process must compute the same loss from the result. ``DistributedDataParallel`` then
    averages the gradients to those of one process with the joined batch.

    Args:
        x: Shape (b, ...). Processes may have different b, also 0. The other sizes must be equal.

    Returns:
        Shape (B, ...), where B sums b over the processes. Without a process group: ``x`` itself.
    """
    return _GatherRows.apply(x) if _several_processes() else x


def mean_over_processes(mean: Tensor, rows: int) -> Tensor:
    r"""Weight a process's mean so that the average over the processes is the mean over all rows.

    $$ \frac{b}{\frac1N \sum_{n=1}^{N} b_n} \cdot \mathrm{mean} $$

    N processes have b_n rows each. ``DistributedDataParallel`` averages gradients in the same way,
    so a process with fewer rows counts less there, too.

    Args:
        mean: Mean over this process's b rows. A floating-point scalar, 0 for no rows.
        rows: The number b.

    Returns:
        A scalar. Without a process group: ``mean`` itself.
    """
    if not _several_processes():
        return mean
    total = mean.new_tensor(rows)
    dist.all_reduce(total)
    return mean * (rows * dist.get_world_size() / total.clamp(min=1))


def sum_over_processes(total: Tensor) -> Tensor:
    """Multiply a process's sum so that the average over the processes is the sum over all.

    Args:
        total: Sum over this process's rows. A floating-point scalar.

    Returns:
        A scalar. Without a process group: ``total`` itself.
    """
    return total * dist.get_world_size() if _several_processes() else total


def _several_processes() -> bool:
    return dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1


class _GatherRows(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        counts = _row_counts(x)
        ctx.start, ctx.rows = sum(counts[: dist.get_rank()]), x.shape[0]
        padded = x.new_zeros(max(counts), *x.shape[1:])
        padded[: x.shape[0]] = x
        parts = [torch.empty_like(padded) for _ in counts]
        dist.all_gather(parts, padded)
        return torch.cat([part[:count] for part, count in zip(parts, counts, strict=True)])

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> Tensor:
        # All processes have the same gradient, so their sum needs no communication.
        return dist.get_world_size() * grad[ctx.start : ctx.start + ctx.rows]


def _row_counts(x: Tensor) -> list[int]:
    count = torch.tensor([x.shape[0]], device=x.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    return torch.cat(counts).tolist()
