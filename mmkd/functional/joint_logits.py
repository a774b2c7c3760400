"""Scores of heads that predict objectness beside classes."""

import torch
from torch import Tensor

from mmkd.functional.numerics import limited, upcast


def joint_logits(classes: Tensor, objectness: Tensor) -> Tensor:
    r"""Logits of the products of class scores and objectness.

    YOLOX scores an object by the product of two sigmoids. This is the logit of that product:

    $$
    \mathrm{logit}(\sigma(c) \, \sigma(o)) = -\log(e^{-c} + e^{-o} + e^{-c-o})
    $$

    Args:
        classes: Class logits c. Shape (N, K).
        objectness: Logits o. Shape (N, 1).

    Returns:
        Logits in float32 (float64 for float64 inputs). Shape (N, K).

    Raises:
        ValueError: If the shapes do not fit.

    Example:
        >>> joint_logits(torch.zeros(1, 2), torch.zeros(1, 1)).sigmoid()  # a half of a half
        tensor([[0.2500, 0.2500]])
    """
    if objectness.shape != (*classes.shape[:-1], 1):
        raise ValueError(
            f'objectness: expected a shape {(*classes.shape[:-1], 1)}, one value for each row of '
            f'classes, got {tuple(objectness.shape)}'
        )
    c, o = (limited(upcast(x), power=1) for x in (classes, objectness))
    o = o.expand_as(c)
    return -torch.stack([-c, -o, -c - o]).logsumexp(0)
