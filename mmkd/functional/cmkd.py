"""Correlation matching of class probabilities and class ranks (CMKD)."""

from typing import Literal, get_args

import torch
from torch import Tensor

from mmkd.functional.checks import check_choice, check_positive, check_same_shape
from mmkd.functional.numerics import Reduction, limited, reduce, upcast
from mmkd.functional.ranking.rank_correlation import (
    TargetRanks,
    pearson,
    spearman,
    zscore,
)
from mmkd.functional.ranking.soft_rank import DEFAULT_STRENGTH, RankMethod
from mmkd.functional.saturation import saturating

Correlations = Literal['both', 'pearson', 'spearman']
Ranked = Literal['zscores', 'probabilities']


@saturating
def cmkd(
    student: Tensor,
    teacher: Tensor,
    *,
    tau: float = 4.0,
    primary_weight: float = 4.0,
    secondary_weight: float = 1.0,
    rank_method: RankMethod = 'fast',
    rank_strength: float = DEFAULT_STRENGTH,
    mean_entropy: Tensor | None = None,
    reduction: Reduction = 'mean',
    normalize: bool = True,
    correlations: Correlations = 'both',
    ranked: Ranked = 'zscores',
    teacher_ranks: TargetRanks = 'exact',
) -> Tensor:
    r"""Distance of logits by Pearson and Spearman correlation over the classes.

    $$
    L = \frac1B \sum_i \begin{cases}
        w_1 \, L_P^i + w_2 \, L_R^i & H_i \ge \bar H \\
        w_2 \, L_P^i + w_1 \, L_R^i & H_i < \bar H
    \end{cases}
    \qquad L_P = 1 - r(p^T, p^S), \quad L_R = 1 - \rho(\hat z^T, \hat z^S)
    $$

    $\hat z$ are the z-scores of the logits and $p = \mathrm{softmax}(\hat z / \tau)$. H is the
    entropy of the teacher's softmax. Where the teacher is unsure, the student mostly follows its
    probabilities. Where it is sure, the student mostly follows its ranking.

    Niu et al. 2024, eq. 9-16: <https://arxiv.org/abs/2410.06561>. The paper's sentence after
    eq. 15 contradicts eq. 16 and the paper's motivation. This function follows eq. 16.

    The paper ranks the probabilities. This function ranks the z-scores. The order is the same, but
    the softmax shrinks the gaps between unlikely classes, and soft ranks would blur them. The
    student's ranks are soft. With exact ranks of the teacher, L_R of equal logits is 0 only where
    the soft ranks are exact (see ``spearman``). With soft ranks of both, it is 0.

    Args:
        student: Logits. Shape (B, C).
        teacher: Logits. Shape (B, C).
        tau: Temperature of both softmaxes of L_P.
        primary_weight: w_1, the paper's beta. It weights the leading correlation of a sample.
        secondary_weight: w_2, the paper's gamma. It weights the other correlation.
        rank_method: How ``soft_rank`` ranks the student's logits: ``'fast'`` or ``'pairwise'``.
        rank_strength: Smoothing of the soft ranks, in mean gaps between the student's logits.
        mean_entropy: The threshold: a mean of ``entropy`` over teacher samples. None takes the
            mean over this batch.
        reduction: ``'mean'`` or ``'sum'`` over the samples, or ``'none'`` for one value a sample.
        normalize: Take the softmax of the z-scored logits. False takes that of the logits.
        correlations: ``'both'``, or only L_P (``'pearson'``) or only L_R (``'spearman'``). One
            alone has the weight w_1 for every sample.
        ranked: What the student's soft ranks are those of: ``'zscores'``, or ``'probabilities'`` as
            eq. 13 is printed. For exact ranks it makes no difference.
        teacher_ranks: ``'exact'``, or ``'soft'`` as the student's. Then logits that agree have no
            distance and no gradient.

    Returns:
        A scalar >= 0, or shape (B,) for ``'none'``, in float32 (float64 for float64 inputs). The
        mean of no samples is 0. A sample with constant logits in either network adds 0 and has no
        gradient. With C = 1 this is every sample.

    Raises:
        ValueError: If the shapes are wrong, or ``tau``, ``rank_method``, ``rank_strength``,
            ``reduction``, ``correlations``, ``ranked`` or ``teacher_ranks`` is out of range.

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
    check_choice('correlations', correlations, get_args(Correlations))
    check_choice('ranked', ranked, get_args(Ranked))
    with torch.autocast(student.device.type, enabled=False):
        scores = [
            zscore(x) if normalize else limited(upcast(x), power=1, dim=-1)
            for x in (student, teacher)
        ]
        of_student, of_teacher = ((score / tau).softmax(-1) for score in scores)
        distances = []
        if correlations != 'spearman':
            distances.append(1 - pearson(of_student, of_teacher, degenerate=1.0))
        if correlations != 'pearson':
            values, target = (of_student, of_teacher) if ranked == 'probabilities' else scores
            if teacher_ranks == 'exact':
                # The raw logits have the same ranks, but no ties from rounding.
                target = teacher
            rho = spearman(
                values,
                target,
                rank_strength,
                rank_method,
                target_ranks=teacher_ranks,
                degenerate=1.0,
            )
            distances.append(1 - rho)
        if len(distances) == 1:
            return reduce(primary_weight * distances[0], reduction)
        linear, ranking = distances
        entropies = entropy(teacher)
        unsure = entropies >= (entropies.mean() if mean_entropy is None else mean_entropy)
        leading, other = linear.where(unsure, ranking), ranking.where(unsure, linear)
        return reduce(primary_weight * leading + secondary_weight * other, reduction)


def entropy(logits: Tensor) -> Tensor:
    """Entropy of the softmax of each row, in nats.

    Niu et al. 2024, eq. 14: <https://arxiv.org/abs/2410.06561>.

    Args:
        logits: Shape (..., C).

    Returns:
        Shape (...), without gradient, rounded to float32 and stored in float64. The mean of equal
        entropies is then exact, so none of them falls below it by rounding.

    Example:
        >>> entropy(torch.zeros(1, 4)).exp()
        tensor([4.0000], dtype=torch.float64)
    """
    with torch.autocast(logits.device.type, enabled=False):
        probabilities = upcast(logits.detach()).softmax(-1)
        return torch.special.entr(probabilities).sum(-1).float().double()
