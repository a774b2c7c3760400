"""Sigmoid focal loss (Lin et al. 2017, Eq. 5) over class indices, and its gradient.

Let ``z = x`` for the target class and ``z = -x`` for every other class. Then ``q = sigmoid(z)`` is
the probability of the truth, and the loss is ``-a (1 - q) ** gamma * log(q)``, where ``a`` is
``alpha`` for the target class and ``1 - alpha`` for the others.
"""

import torch
import torch.nn.functional as F
from torch import Tensor

from mmkd.compat.mmcv_ext._kernels import widen


def sigmoid_focal_loss_forward(
    input: Tensor, target: Tensor, weight: Tensor, output: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the loss of each logit into ``output``.

    Args:
        input: (N, C) logits.
        target: (N,) class indices. Any index outside [0, C) is background.
        weight: (C,) weight of each target class, or empty. Background has the weight 1.
        output: (N, C), written in place.
        gamma: Focusing exponent.
        alpha: Weight of the target class.
    """
    logits, sign, scale = _prepare(input, target, weight, alpha)
    z = sign * logits
    output.copy_(-scale * torch.sigmoid(-z) ** gamma * F.logsigmoid(z))


def sigmoid_focal_loss_backward(
    input: Tensor, target: Tensor, weight: Tensor, grad_input: Tensor, *, gamma: float, alpha: float
) -> None:
    """Write the derivative of each loss with respect to its logit into ``grad_input``.

    Arguments are those of :func:`sigmoid_focal_loss_forward`.
    """
    logits, sign, scale = _prepare(input, target, weight, alpha)
    z = sign * logits
    # sigmoid(-z) is 1 - q without cancellation.
    miss = torch.sigmoid(-z)
    slope = miss - gamma * torch.sigmoid(z) * F.logsigmoid(z)
    grad_input.copy_(-sign * scale * miss**gamma * slope)


def _prepare(
    input: Tensor, target: Tensor, weight: Tensor, alpha: float
) -> tuple[Tensor, Tensor, Tensor]:
    """Return the logits, the sign that turns them into ``z``, and the weight of the loss."""
    (logits,) = widen(input)
    classes = torch.arange(logits.size(1), device=logits.device)
    hit = target[:, None] == classes
    hot = hit.to(logits)
    sign = 2 * hot - 1
    scale = alpha * hot + (1 - alpha) * (1 - hot)
    if weight.numel():
        index = torch.where(hit.any(dim=1), target, len(weight))
        scale = scale * F.pad(weight.to(logits), (0, 1), value=1.0)[index][:, None]
    return logits, sign, scale
