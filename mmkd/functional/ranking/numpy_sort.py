"""Primitives that NumPy, where PyTorch finds it, computes several times faster on a CPU."""

import torch
from torch import Tensor

# NumPy works in one thread. Shared by more than these, PyTorch's own sort catches up.
_FEW_THREADS = 8


def argsort(rows: Tensor) -> Tensor:
    """Order of the values of each row, the smallest first; that of ties is arbitrary.

    Args:
        rows: Without gradient, in float32 or float64. Shape (..., n).

    Returns:
        The same shape, int64. A NaN is at one of the ends.
    """
    if not _suits(rows):
        return rows.argsort(-1)
    if rows.dtype == torch.float64:
        return torch.from_numpy(rows.numpy().argsort(-1))
    # The values' bits, in their order as integers, above the index: sorted, they are the order.
    bits = rows.view(torch.int32)
    key = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits).long()
    packed = key.bitwise_left_shift_(32).bitwise_or_(torch.arange(rows.shape[-1]))
    packed.numpy().sort(-1)
    return packed.bitwise_and_(0xFFFFFFFF)


def nonzero(mask: Tensor) -> Tensor:
    """Indices of what is True.

    Args:
        mask: Shape (N,).
    """
    if not _suits(mask):
        return mask.nonzero().squeeze(1)
    return torch.from_numpy(mask.numpy().nonzero()[0])


def _suits(x: Tensor) -> bool:
    return _FOUND and x.device.type == 'cpu' and torch.get_num_threads() <= _FEW_THREADS


def _found() -> bool:
    try:
        torch.empty(0).numpy()
    except RuntimeError:
        return False
    return True


_FOUND = _found()
