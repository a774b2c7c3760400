"""Soft focal loss: binary cross entropy with soft targets, where two heads disagree."""

import math

from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_same_shape
from mmkd.functional.numerics import limited, upcast
from mmkd.functional.saturation import saturating


@saturating
def soft_focal(student: Tensor, teacher: Tensor, *, beta: float = 2.0) -> Tensor:
    r"""Binary cross entropy of sigmoid scores with a teacher's, weighted by their distance.

    $$
    L = \frac{1}{\max(1, \sum_n \max_k p_{nk})} \sum_{nk} |p_{nk} - q_{nk}|^\beta \,
        \mathrm{BCE}(q_{nk}, p_{nk}), \qquad p = \sigma(t), \quad q = \sigma(s)
    $$

    The sum counts the locations where the teacher sees an object, as a task loss counts positive
    anchors. The form of a term is that of quality focal loss: Li et al., "Generalized Focal Loss",
    2020, eq. 5, https://arxiv.org/abs/2006.04388.

    Args:
        student: Logits. Shape (N, K).
        teacher: Logits. Shape (N, K). It gets no gradient.
        beta: Exponent of the distance: 0, which counts every term alike, or at least 1.

    Returns:
        A scalar in float32 (float64 for float64 inputs).

    Raises:
        ValueError: If shapes differ, or ``beta`` is out of its range.

    Example:
        >>> import torch
        >>> soft_focal(torch.zeros(3, 2), torch.zeros(3, 2))
        tensor(0.)
    """
    check_beta(beta)
    check_same_shape(student, teacher)
    student, teacher = (limited(upcast(x), power=1) for x in (student, teacher.detach()))
    target = teacher.sigmoid()
    entropy = F.binary_cross_entropy_with_logits(student, target, reduction='none')
    distance = (target - student.sigmoid()).abs() ** beta
    objects = target.amax(-1).sum() if target.numel() else target.sum()
    return (distance * entropy).sum() / objects.clamp(min=1.0)


def check_beta(beta: float) -> None:
    """Raise ValueError unless ``beta`` is 0 or at least 1, where its power has a gradient at 0."""
    if beta != 0 and not 1 <= beta < math.inf:
        raise ValueError(f'beta: expected 0 or a finite number >= 1, got {beta!r}')
