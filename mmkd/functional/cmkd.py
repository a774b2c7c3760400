"""Correlation matching of class probabilities and class ranks."""

import torch
from torch import Tensor

from mmkd.functional.checks import check_positive, check_same_shape
from mmkd.functional.numerics import mean_or_zero, upcast
from mmkd.functional.ranking.rank_correlation import pearson, spearman, zscore
from mmkd.functional.ranking.soft_rank import DEFAULT_STRENGTH


def cmkd(
    student: Tensor,
    teacher: Tensor,
    *,
    tau: float = 4.0,
    primary_weight: float = 4.0,
    secondary_weight: float = 1.0,
    rank: str = 'fast',
    rank_strength: float = DEFAULT_STRENGTH,
    mean_entropy: Tensor | None = None,
) -> Tensor:
    r"""Distance of two networks' logits by Pearson and by Spearman correlation over the classes.

    .. math::
        L = \frac1B \sum_i \begin{cases}
            \beta \, L_P^i + \gamma \, L_R^i & H_i \ge \bar H \\
            \gamma \, L_P^i + \beta \, L_R^i & H_i < \bar H
        \end{cases}
        \qquad L_P = 1 - r(p^T, p^S), \quad L_R = 1 - \rho(\hat z^T, \hat z^S)

    with :math:`\hat z` the logits' z-scores, :math:`p = \mathrm{softmax}(\hat z / \tau)` and H the
    entropy of the teacher's softmax: where it is unsure the student follows its probabilities,
    where it is sure its ranking. Niu et al., "Efficient and Robust Knowledge Distillation from A
    Stronger Teacher Based on Correlation Matching" (2024), eq. 9-16. (The sentence after eq. 15
    says the opposite of eq. 16, and of the paper's motivation.)

    The ranks are those of the z-scores, not of the probabilities as printed: the order is the
    same, but not what smoothing makes of it. The student's are soft and the teacher's exact, so
    that L_R is 0 for equal logits only as far as soft ranks are exact: see :func:`spearman`.

    Args:
        student: Logits, shape (B, C).
        teacher: Logits, shape (B, C).
        tau: Temperature of both softmaxes of L_P.
        primary_weight: Weight of the leading correlation of a sample.
        secondary_weight: Weight of the other.
        rank: How the student's ranks are made differentiable, ``'fast'`` or ``'pairwise'``; see
            :func:`soft_rank`.
        rank_strength: Their smoothing, in mean gaps between the student's logits; see there.
        mean_entropy: Mean of :func:`entropy` over the teacher's samples, should they be more than
            these; None means these.

    Returns:
        A scalar >= 0, in float32, or float64 if an argument is; 0 for no samples. A sample that
        either network gives constant logits, as for C = 1, adds 0 without gradient.

    Raises:
        ValueError: If shapes differ from these, or ``tau``, ``rank`` or ``rank_strength`` is out
            of its range.

    Example:
        >>> teacher = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.5, 1.0]])
        >>> cmkd(2 * teacher + 1, teacher) < 1e-6
        tensor(True)
        >>> cmkd(-teacher, teacher)
        tensor(9.9758)
    """
    check_positive('tau', tau)
    if student.ndim != 2:
        raise ValueError(f'student: expected a shape (B, C), got {tuple(student.shape)}')
    check_same_shape(student, teacher)
    with torch.autocast(student.device.type, enabled=False):
        entropies = entropy(teacher)
        unsure = entropies >= (entropies.mean() if mean_entropy is None else mean_entropy)
        student_score, teacher_score = zscore(student), zscore(teacher)
        linear = 1 - pearson(
            (student_score / tau).softmax(-1), (teacher_score / tau).softmax(-1), degenerate=1.0
        )
        # The raw logits have the z-scores' ranks, and no ties made by rounding.
        ranking = 1 - spearman(student_score, teacher, rank_strength, rank, degenerate=1.0)
        leading, other = linear.where(unsure, ranking), ranking.where(unsure, linear)
        return mean_or_zero(primary_weight * leading + secondary_weight * other)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of each row, in nats.

    Niu et al. (2024), eq. 14.

    Args:
        logits: Shape (..., C).

    Returns:
        Shape (...), without gradient. Values are rounded to float32 and stored in float64, in
        which the mean of equal ones is exact: none is below it by a rounding error.

    Example:
        >>> entropy(torch.zeros(1, 4)).exp()
        tensor([4.0000], dtype=torch.float64)
    """
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = upcast(logits.detach()).softmax(-1)
        return torch.special.entr(probabilities).sum(-1).float().double()
