"""Safe arithmetic: half precision in float32, means of no values, rows of unit length."""

import math
from typing import Literal, get_args

import torch
from torch import Tensor

from mmkd.functional.checks import check_choice

Reduction = Literal['mean', 'sum', 'none']
ScalarReduction = Literal['mean', 'sum']


def upcast(x: Tensor) -> Tensor:
    """``x`` in float32. A float64 tensor stays as it is."""
    return x if x.dtype == torch.float64 else x.float()


def limited(x: Tensor, power: float, dim: int | tuple[int, ...] | None = None) -> Tensor:
    """Scale ``x`` down where it is so large that powers of it would overflow.

    Args:
        x: Any shape, in any floating-point type.
        power: Sums of ``|x| ** power`` over all values stay in the range of float32 (of float64 for
            float64).
        dim: Find the largest value along these dimensions. Default: of all.

    Returns:
        ``x`` itself, except for values near the end of the range. Infinity becomes NaN.

    Example:
        >>> limited(torch.tensor([1.0, 3e38]), power=2, dim=0).square().sum().isfinite()
        tensor(True)
        >>> limited(torch.tensor([1.0, 3e15]), power=2, dim=0)
        tensor([1.0000e+00, 3.0000e+15])
    """
    if x.dtype == torch.float16 or x.numel() == 0:
        return x
    exponent = math.log2(torch.finfo(x.dtype).max / 64 / x.numel()) / power
    limit = 2.0 ** math.floor(exponent)
    if _is_readable(x):
        low, high = x.detach().aminmax()
        if -limit <= float(low) and float(high) <= limit:
            return x
    largest = torch.linalg.vector_norm(x.detach(), math.inf, dim, keepdim=dim is not None)
    return x * (limit / largest.clamp(min=limit))


def _is_readable(x: Tensor) -> bool:
    """Whether reading a value costs nothing: on the CPU, outside of torch.compile and vmap."""
    batched = torch._C._functorch.is_batchedtensor(x)
    return x.is_cpu and not torch.compiler.is_compiling() and not batched


def mean_or_zero(values: Tensor) -> Tensor:
    """The mean of all values. Without values it is 0 and still part of the graph."""
    return values.sum() / max(values.numel(), 1)


def mean_square(x: Tensor) -> Tensor:
    """The mean of all squares, in float32 (float64 for float64)."""
    return mean_or_zero(limited(upcast(x), power=2).square())


def reduce(values: Tensor, reduction: Reduction) -> Tensor:
    """The mean or the sum of all values, or the values themselves.

    Args:
        values: One value a row. Shape (R,).
        reduction: ``'mean'``, ``'sum'`` or ``'none'``.

    Returns:
        A scalar, or shape (R,) for ``'none'``. The mean of no values is 0.

    Raises:
        ValueError: If ``reduction`` is unknown.

    Example:
        >>> values = torch.tensor([1.0, 5.0])
        >>> reduce(values, 'mean'), reduce(values[:0], 'mean'), reduce(values, 'sum')
        (tensor(3.), tensor(0.), tensor(6.))
    """
    check_choice('reduction', reduction, get_args(Reduction))
    if reduction == 'none':
        return values
    return mean_or_zero(values) if reduction == 'mean' else values.sum()


def smallest_length(dtype: torch.dtype) -> float:
    """What is shorter counts as 0: 5e-34 in float32.

    The gradient of a unit vector is the reciprocal of its length. Times a loss weight, this is
    finite.
    """
    return torch.finfo(dtype).tiny ** 0.875


def l2_normalize(x: Tensor) -> Tensor:
    """Divide each row of ``x`` by its Euclidean length. A row of zeros stays as it is.

    A row whose values are all below ``smallest_length`` counts as zeros.

    Args:
        x: Shape (..., D).

    Returns:
        The shape of ``x``, in float32 (float64 for float64). A row of zeros has gradient 0.

    Example:
        >>> l2_normalize(torch.tensor([[3.0, 4.0], [0.0, 0.0]]))
        tensor([[0.6000, 0.8000],
                [0.0000, 0.0000]])
    """
    with torch.autocast(x.device.type, enabled=False):
        x = upcast(x)
        # Dividing by the largest entry first keeps the squares in range.
        largest = x.detach().abs().amax(-1, keepdim=True)
        # `<` is False for NaN, so NaN stays NaN.
        zero = largest < smallest_length(x.dtype)
        x = (x / largest.masked_fill(zero, 1.0)).masked_fill(zero, 0.0)
        # The norm of a row of zeros has no gradient, so 1 replaces it.
        return x / torch.linalg.vector_norm(x, dim=-1, keepdim=True).masked_fill(zero, 1.0)


def has_direction(unit: Tensor) -> Tensor:
    """Whether each row (..., D) of a result of ``l2_normalize`` has a nonzero entry or NaN."""
    return unit.any(-1)
