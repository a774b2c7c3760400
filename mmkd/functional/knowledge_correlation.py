"""How alike each network finds the images of a batch."""

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_positive
from mmkd.functional.numerics import has_direction, l2_normalize, mean_or_zero


def knowledge_correlation(student: Tensor, teacher: Tensor, tau: float = 0.5) -> Tensor:
    r"""Divergence between two networks' distributions of a view's similarities to all images.

    .. math::
        \frac{1}{B (V - 1)} \sum_i \mathrm{KL}\left(
            \mathrm{softmax}(A^T_i / \tau) \,\|\, \mathrm{softmax}(A^S_i / \tau) \right),
        \qquad A_{ij} = \cos(\tilde{x}_i, x_j)

    with a row i for each further view of each image and a column j for each image's first view.
    "Dual-Level Knowledge Distillation via Knowledge Alignment and Correlation" (2022), eq. 5-6.
    Equation 6 is printed as a cross entropy; the divergence, named in the text, has the same
    gradient and is 0 where the networks agree.

    Args:
        student: V views of each of B images, the first first. Shape (B, V, D_S), V >= 2.
        teacher: Shape (B, V, D_T).
        tau: Temperature of both distributions.

    Returns:
        A scalar >= 0, in float32, or float64 for such inputs; 0 for one image or none. A row of
        zeros has similarity 0 to all, and adds no row i of its own.

    Raises:
        ValueError: If the shapes do not fit, or ``tau`` is not positive.

    Example:
        >>> views = torch.tensor([[[1.0, 0.0], [1.0, 0.1]], [[0.0, 1.0], [0.1, 1.0]]])
        >>> knowledge_correlation(views, 5 * views)
        tensor(0.)
    """
    _check(student, teacher)
    check_positive('tau', tau)
    with torch.autocast(student.device.type, enabled=False):
        similar_s, directed_s = _similarities(student)
        similar_t, directed_t = _similarities(teacher)
        divergence = F.kl_div(
            F.log_softmax(similar_s / tau, dim=-1),
            F.log_softmax(similar_t / tau, dim=-1),
            reduction='none',
            log_target=True,
        ).sum(-1)
        # The product keeps NaN, which masking would hide; below 0 there is only rounding.
        return mean_or_zero(divergence * directed_s * directed_t).clamp(min=0.0)


def _similarities(views: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines (B (V - 1), B) of further views to first ones, and which rows have a direction."""
    unit = l2_normalize(views)
    further = unit[:, 1:].flatten(0, 1)
    return further @ unit[:, 0].mT, has_direction(further)


def _check(student: Tensor, teacher: Tensor) -> None:
    if student.ndim != 3 or student.shape[1] < 2:
        raise ValueError(
            f'student: expected a shape (B, V, D) with at least 2 views V, '
            f'got {tuple(student.shape)}'
        )
    if teacher.ndim != 3 or teacher.shape[:2] != student.shape[:2]:
        raise ValueError(
            f'teacher: expected a shape ({student.shape[0]}, {student.shape[1]}, D), '
            f'got {tuple(teacher.shape)}'
        )
