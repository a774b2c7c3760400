"""Correlation matching loss."""

from torch import Tensor

from mmkd.functional import cmkd
from mmkd.functional.checks import check_choice, check_non_negative, check_positive
from mmkd.functional.cmkd import entropy
from mmkd.functional.ranking.soft_rank import DEFAULT_STRENGTH, METHODS
from mmkd.losses.base.relational_loss import RelationalLoss, check_rows, check_same_classes
from mmkd.registry import MODELS


@MODELS.register_module()
class CMKDLoss(RelationalLoss):
    r"""Distance of logits by Pearson and Spearman correlation over the classes.

    .. math::
        L = \frac1B \sum_i \begin{cases}
            \beta \, L_P^i + \gamma \, L_R^i & H_i \ge \bar H \\
            \gamma \, L_P^i + \beta \, L_R^i & H_i < \bar H
        \end{cases}

    Niu et al., "Efficient and Robust Knowledge Distillation from A Stronger Teacher Based on
    Correlation Matching" (2024), eq. 9-16; the paper's alpha is the weight of the task's own
    loss. Samples of which the teacher is unsure, by the entropy H of its softmax, are led by the
    correlation of probabilities, L_P, the others by that of ranks, L_R. The mathematics is
    :func:`mmkd.functional.cmkd`.

    Args:
        tau: Temperature of the softmax of the z-scored logits: 4 on CIFAR, 1 on ImageNet.
        primary_weight: Weight of a sample's leading correlation.
        secondary_weight: Weight of the other.
        rank: How the student's ranks are made differentiable: ``'fast'``, a projection onto the
            permutahedron, or ``'pairwise'``, a sum of sigmoids that takes O(C^2) memory a sample.
        rank_strength: Their smoothing, in mean gaps between a sample's logits. Ranks of logits
            that are further apart are exact (``'fast'``), but then have no gradient; far above 1
            Spearman's coefficient becomes Pearson's.
        loss_weight: Factor of both terms.
        gather: In distributed training, take the mean entropy over the samples of all processes.
            The loss stays each process' own, of its samples, weighted by its share of all, so that
            the processes have, on average, the loss and the gradients of one with all samples.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> teacher = torch.tensor([[3.0, 1.0, 0.0], [0.0, 0.5, 1.0]])
        >>> CMKDLoss()(-teacher, teacher)
        tensor(9.9758)
    """

    needs_equal_shapes = True

    def __init__(
        self,
        tau: float = 4.0,
        primary_weight: float = 4.0,
        secondary_weight: float = 1.0,
        rank: str = 'fast',
        rank_strength: float = DEFAULT_STRENGTH,
        loss_weight: float = 1.0,
        gather: bool = True,
    ) -> None:
        super().__init__(loss_weight=loss_weight, gather=gather)
        check_positive('tau', tau)
        check_non_negative('primary_weight', primary_weight)
        check_non_negative('secondary_weight', secondary_weight)
        check_choice('rank', rank, METHODS)
        check_positive('rank_strength', rank_strength)
        self.tau = tau
        self.primary_weight = primary_weight
        self.secondary_weight = secondary_weight
        self.rank = rank
        self.rank_strength = rank_strength

    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted distance of the logits.

        Args:
            student: Logits, shape (B, C).
            teacher: Logits, shape (B, C). No gradient flows into them.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is no Tensor.
            ValueError: If shapes differ from these.
        """
        check_rows('student', student)
        check_rows('teacher', teacher, student)
        check_same_classes(student, teacher, 'use a loss on features, such as FKDLoss')
        teacher = teacher.detach()
        loss = cmkd(
            student,
            teacher,
            tau=self.tau,
            primary_weight=self.primary_weight,
            secondary_weight=self.secondary_weight,
            rank=self.rank,
            rank_strength=self.rank_strength,
            mean_entropy=self.joined(entropy(teacher)).mean(),
        )
        return self.loss_weight * self.joined_mean(loss, len(student))
