"""Primitives that NumPy computes several times faster than PyTorch on a CPU."""

import torch
from torch import Tensor

# NumPy uses one thread. With more threads than this, PyTorch's own sort is as fast.
_FEW_THREADS = 8


def argsort(rows: Tensor) -> Tensor:
    """Indices that sort the values of each row. The order of ties is arbitrary.

    Args:
        rows: Values without gradient, in float32 or float64. Shape (..., n).

    Returns:
        The same shape, int64. A NaN comes first or last.
    """
    if not _suits(rows):
        return rows.argsort(-1)
    if rows.dtype == torch.float64:
        return torch.from_numpy(rows.numpy().argsort(-1))
    # Sort integers whose high bits order the values and whose low bits hold the index.
    bits = rows.view(torch.int32)
    key = (bits >> 31).bitwise_and_(0x7FFFFFFF).bitwise_xor_(bits).long()
    packed = key.bitwise_left_shift_(32).bitwise_or_(torch.arange(rows.shape[-1]))
    packed.numpy().sort(-1)
    return packed.bitwise_and_(0xFFFFFFFF)


def nonzero(mask: Tensor) -> Tensor:
    """Indices of the True entries of ``mask``, shape (N,)."""
    if not _suits(mask):
        return mask.nonzero().squeeze(1)
    return torch.from_numpy(mask.numpy().nonzero()[0])


def _suits(x: Tensor) -> bool:
    return _HAS_NUMPY and x.device.type == 'cpu' and torch.get_num_threads() <= _FEW_THREADS


def _has_numpy() -> bool:
    try:
        torch.empty(0).numpy()
    except RuntimeError:
        return False
    return True


_HAS_NUMPY = _has_numpy()
