"""DLKD: alignment, correlation and supervised contrast of two networks' features, and the views."""

from typing import Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_choice, check_positive, check_same_shape
from mmkd.functional.numerics import (
    Reduction,
    ScalarReduction,
    has_direction,
    l2_normalize,
    reduce,
    upcast,
)
from mmkd.functional.saturation import saturating

Candidates = Literal['other', 'both']


def rotations(images: Tensor) -> Tensor:
    """Turn each image counter-clockwise by 0, 90, 180 and 270 degrees.

    These are the views of Ding et al., TNNLS 2022, sec. VI-A: <https://arxiv.org/abs/2012.00573>.

    Args:
        images: Square images of any dtype. Shape (B, C, S, S).

    Returns:
        Shape (4 B, C, S, S), view by view. The first B are the images themselves.

    Raises:
        ValueError: If the images are not square.

    Example:
        >>> rotations(torch.tensor([[[[1, 2], [3, 4]]]])).flatten(1)
        tensor([[1, 2, 3, 4],
                [2, 4, 1, 3],
                [4, 3, 2, 1],
                [3, 1, 4, 2]])
    """
    if images.ndim != 4 or images.shape[-2] != images.shape[-1]:
        raise ValueError(
            f'images: expected square images (B, C, S, S), got {tuple(images.shape)}; '
            'crop or resize them in the data pipeline'
        )
    return torch.cat([images.rot90(quarters, (-2, -1)) for quarters in range(4)])


@saturating
def alignment(
    student: Tensor, teacher: Tensor, reduction: Reduction = 'mean', normalize: bool = True
) -> Tensor:
    r"""Mean squared distance between features of unit length.

    $$
    \frac{1}{R} \sum_i \left\| \frac{s_i}{\|s_i\|} - \frac{t_i}{\|t_i\|} \right\|^2
    = \frac{1}{R} \sum_i \left( 2 - 2 \cos(s_i, t_i) \right)
    $$

    Ding et al., TNNLS 2022, eq. 3, with unit vectors as in eq. 13:
    <https://arxiv.org/abs/2012.00573>. Equation 3 itself is ``normalize=False``.

    Args:
        student: Shape (R, D).
        teacher: Shape (R, D).
        reduction: ``'mean'`` or ``'sum'`` over the rows, or ``'none'`` for one value a row.
        normalize: Divide each row by its length. False compares the features as they are.

    Returns:
        A scalar, or shape (R,) for ``'none'``, in float32 (float64 for float64 inputs). Each row's
        value is in [0, 4] if normalized. It is then 0 if either row is all zeros. The mean of no
        rows is 0.

    Raises:
        ValueError: If the shapes differ or ``reduction`` is unknown.

    Example:
        >>> alignment(torch.tensor([[2.0, 0.0]]), torch.tensor([[0.0, 3.0]]))
        tensor(2.)
    """
    check_same_shape(student, teacher)
    if not normalize:
        return reduce((upcast(student) - upcast(teacher)).square().sum(-1), reduction)
    student, teacher = l2_normalize(student), l2_normalize(teacher)
    # Multiplying keeps NaN visible. Masking would hide it.
    distance = (student - teacher).square().sum(-1) * has_direction(student)
    return reduce(distance * has_direction(teacher), reduction)


@saturating
def knowledge_correlation(
    student: Tensor, teacher: Tensor, tau: float = 0.5, reduction: ScalarReduction = 'mean'
) -> Tensor:
    r"""Divergence between two networks' distributions of a view's similarities to all images.

    $$
    \frac{1}{B (V - 1)} \sum_i \mathrm{KL}\left(
        \mathrm{softmax}(A^T_i / \tau) \,\|\, \mathrm{softmax}(A^S_i / \tau) \right),
    \qquad A_{ij} = \cos(\tilde{x}_i, x_j)
    $$

    Each further view of each image is a row i. Each image's first view is a column j.

    Ding et al., TNNLS 2022, eq. 5-6: <https://arxiv.org/abs/2012.00573>. The paper prints eq. 6 as
    a cross entropy and calls it a divergence in the text. This function is the divergence: it has
    the same gradient, and it is 0 if the networks agree.

    Args:
        student: V >= 2 views of each of B images. Shape (B, V, D_S).
        teacher: The same views. Shape (B, V, D_T).
        tau: Temperature of both distributions.
        reduction: ``'mean'`` over the B (V - 1) rows or, as eq. 6 prints it, their ``'sum'``.

    Returns:
        A scalar >= 0, in float32 (float64 for float64 inputs). It is 0 for one image or none. A
        row of zeros has similarity 0 to all images and adds 0 to the sum.

    Raises:
        ValueError: If the shapes do not match, ``tau`` is not positive or ``reduction`` is unknown.

    Example:
        >>> views = torch.tensor([[[1.0, 0.0], [1.0, 0.1]], [[0.0, 1.0], [0.1, 1.0]]])
        >>> knowledge_correlation(views, 5 * views)
        tensor(0.)
    """
    _check_views(student, teacher)
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
        # Multiplying keeps NaN visible. Values below 0 are rounding.
        return reduce(divergence * directed_s * directed_t, reduction).clamp(min=0.0)


@saturating
def supervised_contrastive(
    student: Tensor,
    teacher: Tensor,
    labels: Tensor,
    tau: float = 0.07,
    reduction: ScalarReduction = 'mean',
    candidates: Candidates = 'other',
) -> Tensor:
    r"""Supervised contrastive loss between the embeddings of two networks.

    $$
    \frac{1}{2R} \sum_{z \in s \cup t} \frac{-1}{|P(z)|}
        \sum_{w \in P(z)} \log \frac{\exp(z \cdot w / \tau)}
                                {\sum_{v \in C(z)} \exp(z \cdot v / \tau)},
    \qquad P(z) = \{w \in C(z) : y_w = y_z\}
    $$

    Each embedding of both networks is an anchor z. It is compared with its candidates C(z). Those
    of its class are the positives P(z).

    Ding et al., TNNLS 2022, eq. 7: <https://arxiv.org/abs/2012.00573>. The paper's text takes the
    candidates from the other network only: an anchor has N_y positives. The equation as printed,
    and the authors' code, take all embeddings of both networks but the anchor itself: it has
    2 N_y - 1 positives.

    Args:
        student: Embeddings of any length. Shape (R, D).
        teacher: Embeddings of any length. Shape (R, D).
        labels: Class indices. Shape (R,).
        tau: Temperature.
        reduction: ``'mean'`` over the 2 R anchors or, as eq. 7 prints it, their ``'sum'``.
        candidates: ``'other'``, as the text says: the embeddings of the other network. ``'both'``,
            as the equation is printed: those of both networks without the anchor itself.

    Returns:
        A scalar >= 0, in float32 (float64 for float64 inputs). It is 0 for one row or none. For
        more rows it is above 0, even if the networks agree.

    Raises:
        ValueError: If the shapes do not match, ``tau`` is not positive, or ``reduction`` or
            ``candidates`` is unknown.

    Example:
        >>> embeddings, labels = torch.eye(2), torch.tensor([0, 1])
        >>> supervised_contrastive(embeddings, embeddings, labels, tau=1.0)
        tensor(0.3133)
        >>> supervised_contrastive(embeddings, embeddings, labels, tau=1.0, candidates='both')
        tensor(0.5514)
    """
    check_same_shape(student, teacher)
    check_positive('tau', tau)
    check_choice('candidates', candidates, get_args(Candidates))
    if labels.shape != student.shape[:1]:
        raise ValueError(
            f'labels: expected a shape ({student.shape[0]},), got {tuple(labels.shape)}'
        )
    with torch.autocast(student.device.type, enabled=False):
        student, teacher = l2_normalize(student), l2_normalize(teacher)
        if candidates == 'both':
            anchors, labels = torch.cat([student, teacher]), labels.repeat(2)
            others = ~torch.eye(len(labels), dtype=torch.bool, device=labels.device)
            return reduce(_contrast(anchors @ anchors.mT / tau, labels, others), reduction)
        logits = student @ teacher.mT / tau
        values = [_contrast(side, labels) for side in (logits, logits.mT)]
        return reduce(torch.cat(values), reduction)


def _contrast(logits: Tensor, labels: Tensor, candidates: Tensor | None = None) -> Tensor:
    """Cross entropy (R,) of each row of logits with the candidates of its class, all alike."""
    positive = labels[:, None] == labels
    if candidates is not None:
        positive &= candidates
        logits = logits.masked_fill(~candidates, torch.finfo(logits.dtype).min)
    positive = positive.to(logits)
    positive = positive / positive.sum(-1, keepdim=True)
    return F.cross_entropy(logits, positive, reduction='none')


def _similarities(views: Tensor) -> tuple[Tensor, Tensor]:
    """Cosines (B (V - 1), B) of further views to first ones, and which rows are not zero."""
    unit = l2_normalize(views)
    further = unit[:, 1:].flatten(0, 1)
    return further @ unit[:, 0].mT, has_direction(further)


def _check_views(student: Tensor, teacher: Tensor) -> None:
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
