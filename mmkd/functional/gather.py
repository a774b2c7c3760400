"""The rows of all processes, with gradients."""

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
        x: Shape (b, ...); b may differ between processes, the rest may not.

    Returns:
        Shape (B, ...), B the sum over the processes; ``x`` itself without a process group.
    """
    if not (dist.is_available() and dist.is_initialized() and dist.get_world_size() > 1):
        return x
    return _GatherRows.apply(x)


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
