"""Gradients of float16 inputs that end at the limit of float16 instead of overflowing."""

import functools
from collections.abc import Callable
from typing import Any, ParamSpec

import torch
from torch import Tensor
from torch.utils._pytree import tree_map

P = ParamSpec('P')


def saturating(function: Callable[P, Tensor]) -> Callable[P, Tensor]:
    """Let the gradients of a function's float16 inputs saturate at ±65504.

    The gradient of a finite loss may exceed float16, for example that of a cosine between vectors
    of length 1e-7. The function gets float16 inputs that require a gradient in float32. Other
    inputs stay as they are.

    The limit holds for the derivative itself. What the incoming gradient multiplies it by may still
    overflow, so a ``torch.amp.GradScaler`` sees when its scale is too large.

    Args:
        function: Returns one floating-point Tensor. Its arguments may be nested in tuples, lists
            and dicts.

    Example:
        >>> x = torch.full((1,), 1e-7, dtype=torch.float16, requires_grad=True)
        >>> saturating(torch.log)(x).sum().backward()
        >>> x.grad
        tensor([65504.], dtype=torch.float16)
    """

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> Tensor:
        units: list[Tensor] = []

        def widen(x: Any) -> Any:
            if not (isinstance(x, Tensor) and x.dtype == torch.float16 and x.requires_grad):
                return x
            wide, unit = _Widen.apply(x)
            units.append(unit)
            return wide

        args, kwargs = tree_map(widen, (args, kwargs))
        result = function(*args, **kwargs)
        return _Anchor.apply(result, *units) if units else result

    return wrapper


class _Widen(torch.autograd.Function):
    """A float16 Tensor in float32, and a scalar whose gradient is the size of the incoming one."""

    generate_vmap_rule = True

    @staticmethod
    def forward(x: Tensor) -> tuple[Tensor, Tensor]:
        return x.float(), x.new_zeros((), dtype=torch.float32)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        pass

    @staticmethod
    def backward(ctx: Any, grad: Tensor, size: Tensor) -> Tensor:
        limit = torch.finfo(torch.float16).max * size
        return grad.clamp(-limit, limit).half()


class _Anchor(torch.autograd.Function):
    """The result itself. It hands the size of the incoming gradient to each ``_Widen``."""

    generate_vmap_rule = True

    @staticmethod
    def forward(result: Tensor, *units: Tensor) -> Tensor:
        return result.view_as(result)

    @staticmethod
    def setup_context(ctx: Any, inputs: Any, output: Any) -> None:
        ctx.units = len(inputs) - 1

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, ...]:
        size = grad.abs().amax() if grad.numel() else grad.new_zeros(())
        return grad, *[size.float()] * ctx.units
