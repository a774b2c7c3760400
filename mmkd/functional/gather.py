"""The rows of all processes, and means over them, with gradients."""

from typing import Any

import torch
from torch import Tensor
from torch import distributed as dist


def gather_rows(x: Tensor) -> Tensor:
    """Concatenate ``x`` of all processes along its first dimension, in the order of their ranks.

    Every process must go on to compute the same loss from the result. Then the gradients that
    ``DistributedDataParallel`` averages over the processes are those of a single process with the
    joined batch.

    Args:
        x: Shape (b, ...); b may differ between processes and be 0, the rest may not differ.

    Returns:
        Shape (B, ...), B the sum over the processes; ``x`` itself without a process group.
    """
    return _GatherRows.apply(x) if _several_processes() else x


def mean_over_processes(mean: Tensor, rows: int) -> Tensor:
    r"""Make the average over the processes of a mean over rows the mean over the rows of all.

    .. math::
        \frac{b}{\frac1N \sum_{n=1}^{N} b_n} \cdot \mathrm{mean}

    for N processes with b_n rows each. A process with fewer rows than the others then counts less,
    in the gradients that ``DistributedDataParallel`` averages, too. Where all have as many
    nothing changes.

    Args:
        mean: Mean over the rows of this process, a floating-point scalar; 0 if it has none.
        rows: Their number b.

    Returns:
        A scalar; ``mean`` itself without a process group.
    """
    if not _several_processes():
        return mean
    total = mean.new_tensor(rows)
    dist.all_reduce(total)
    return mean * (rows * dist.get_world_size() / total.clamp(min=1))


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
        # The sum over the processes of the same gradient, without sending it.
        return dist.get_world_size() * grad[ctx.start : ctx.start + ctx.rows]


def _row_counts(x: Tensor) -> list[int]:
    count = torch.tensor([x.shape[0]], device=x.device)
    counts = [torch.empty_like(count) for _ in range(dist.get_world_size())]
    dist.all_gather(counts, count)
    return torch.cat(counts).tolist()
