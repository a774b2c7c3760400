"""A loss on each of many groups at once."""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F
from torch.overrides import TorchFunctionMode


def over_groups(loss: Callable[..., Tensor], student: Tensor, teacher: Tensor) -> Tensor:
    """Mean of ``loss(student[g], teacher[g])`` over the groups g, by :func:`torch.vmap`.

    Args:
        loss: Returns a scalar; of operators that ``torch.vmap`` can batch.
        student: Shape (G, ...).
        teacher: Shape (G, ...).

    Returns:
        A scalar.

    Raises:
        ValueError: If the loss is no scalar.
    """
    with _BatchedKLDiv():
        values = torch.vmap(loss)(student, teacher)
    if values.ndim != 1:
        raise ValueError(
            f'loss: expected a scalar of each group, got the shape {tuple(values.shape[1:])}; '
            'choose a `reduction`'
        )
    return values.mean()


class _BatchedKLDiv(TorchFunctionMode):
    """Replaces ``F.kl_div``, over which ``torch.vmap`` would loop, several times slower."""

    def __torch_function__(
        self,
        func: Callable[..., Any],
        types: Sequence[type],
        args: tuple[Any, ...] = (),
        kwargs: dict[str, Any] | None = None,
    ) -> Any:
        given = kwargs or {}
        if func is not F.kl_div:
            return func(*args, **given)
        return _kl_div(*args, **{name: value for name, value in given.items() if value is not None})


def _kl_div(
    log_q: Tensor, target: Tensor, *, reduction: str = 'mean', log_target: bool = False
) -> Tensor:
    if log_target:
        values = target.exp() * (target - log_q)
    else:
        values = torch.xlogy(target, target) - target * log_q
    if reduction == 'none':
        return values
    return values.sum() / {'sum': 1, 'batchmean': len(values), 'mean': values.numel()}[reduction]
