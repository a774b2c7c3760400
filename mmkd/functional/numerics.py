"""Float32 for half precision, the mean of values that may be none, rows of unit length."""

import torch
from torch import Tensor


def upcast(x: Tensor) -> Tensor:
    """``x`` in float32, or unchanged in float64."""
    return x if x.dtype == torch.float64 else x.float()


def mean_or_zero(values: Tensor) -> Tensor:
    """Mean of all values; of none 0, still in the graph."""
    return values.sum() / max(values.numel(), 1)


def l2_normalize(x: Tensor) -> Tensor:
    """Each row of ``x`` divided by its Euclidean length; a row of zeros stays one.

    Args:
        x: Shape (..., D).

    Returns:
        The same shape, in float32, or float64 for such an input; half precision is upcast and
        autocast is off inside. The gradient of a row of zeros is 0.

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    with torch.autocast(x.device.type, enabled=False):
        x = upcast(x)
        # Length is scale invariant: dividing by a constant first keeps the squares in range.
        largest = x.detach().abs().amax(-1, keepdim=True)
        # `<` is False for NaN, which therefore stays NaN.
        zero = largest < torch.finfo(x.dtype).tiny
        x = (x / largest.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
        # The masked length of a row of zeros has no gradient, where that of the norm is undefined.
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).masked_fill(zero, 1.0)


def has_direction(unit: Tensor) -> Tensor:
    """Whether each row of :func:`l2_normalize`' result (..., D) is not all zeros; true of NaN."""
    return unit.any(-1)
