"""Divergence of box distributions (localization distillation)."""

from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_positive, check_same_shape
from mmkd.functional.numerics import limited, upcast
from mmkd.functional.saturation import saturating


@saturating
def localization_divergence(
    student: Tensor, teacher: Tensor, weights: Tensor, *, tau: float = 10.0
) -> Tensor:
    r"""Weighted mean over locations of the divergence between two heads' box distributions.

    $$
    L = \frac{\tau^2}{\sum_n w_n} \sum_n \frac{w_n}{4} \sum_{e=1}^4
        \mathrm{KL} \left( \sigma(t_{ne} / \tau) \, \| \, \sigma(s_{ne} / \tau) \right)
    $$

    Heads of the GFL family predict each edge of a box as a distribution over distances. A flat one
    says that the edge is hard to see, which a single number cannot say.

    Zheng et al., "Localization Distillation for Dense Object Detection", CVPR 2022, eq. 3-5:
    <https://arxiv.org/abs/2102.12252>.

    Args:
        student: Logits of the distances of each edge. Shape (N, 4, bins).
        teacher: The same. It gets no gradient.
        weights: Weight of each location, at least 0. Shape (N,).
        tau: Temperature of both softmaxes.

    Returns:
        A scalar in float32 (float64 for float64 inputs). It is 0 if all weights are.

    Raises:
        ValueError: If shapes differ, or ``tau`` is not positive.

    Example:
        >>> import torch
        >>> logits = torch.tensor([[[0.0, 1.0]] * 4])
        >>> localization_divergence(logits, logits, torch.ones(1))
        tensor(0.)
    """
    check_positive('tau', tau)
    if student.ndim != 3 or student.shape[1] != 4:
        raise ValueError(f'student: expected a shape (N, 4, bins), got {tuple(student.shape)}')
    check_same_shape(student, teacher)
    if weights.shape != student.shape[:1]:
        raise ValueError(
            f'weights: expected one for each of {len(student)} locations, '
            f'got {tuple(weights.shape)}'
        )
    student, teacher = (limited(upcast(x), power=1) for x in (student, teacher.detach()))
    weights = upcast(weights)
    divergence = F.kl_div(
        F.log_softmax(student / tau, -1),
        F.log_softmax(teacher / tau, -1),
        reduction='none',
        log_target=True,
    )
    each = divergence.sum(-1).mean(-1)
    total = weights.sum()
    return tau**2 * (weights * each).sum() / total.masked_fill(total == 0, 1.0)
