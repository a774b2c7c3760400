"""CMKD: correlation matching of logits."""

from typing import get_args

from torch import Tensor

from mmkd.functional import cmkd
from mmkd.functional.checks import check_choice, check_non_negative, check_positive
from mmkd.functional.cmkd import Correlations, Ranked, entropy
from mmkd.functional.numerics import ScalarReduction
from mmkd.functional.ranking.rank_correlation import TargetRanks
from mmkd.functional.ranking.soft_rank import DEFAULT_STRENGTH, RankMethod
from mmkd.functional.saturation import saturating
from mmkd.losses.base.relational_loss import RelationalLoss, check_row_pair, check_same_classes
from mmkd.registry import MODELS


@MODELS.register_module()
class CMKDLoss(RelationalLoss):
    """Distance of logits by Pearson and Spearman correlation over the classes.

    Niu et al. 2024, eq. 9-16: <https://arxiv.org/abs/2410.06561>. L_P compares probabilities, L_R
    ranks, and H is the entropy of the teacher's softmax. L_P leads where the teacher is unsure, L_R
    where it is sure. The paper's alpha is the weight of the task's own loss. Function:
    ``mmkd.functional.cmkd``.

    Args:
        tau: Temperature of the softmax of the z-scored logits: 4 on CIFAR, 1 on ImageNet.
        primary_weight: Weight of a sample's leading correlation, the paper's beta.
        secondary_weight: Weight of the other correlation, the paper's gamma.
        rank_method: How to make the student's ranks differentiable. ``'fast'`` projects onto the
            permutahedron. ``'pairwise'`` sums sigmoids and takes O(C^2) memory a sample.
        rank_strength: Smoothing of the ranks, in mean gaps between a sample's logits. With
            ``'fast'``, logits further apart have exact ranks and no gradient. Far above 1,
            Spearman's coefficient becomes Pearson's.
        loss_weight: Factor of both terms.
        gather: In distributed training, take the mean entropy over all processes. Each process
            keeps the loss of its own samples, weighted so that the average over the processes
            equals one process with all samples.
        reduction: ``'mean'`` or ``'sum'`` over the samples.
        normalize: Take the softmax of the z-scored logits. False takes that of the logits.
        correlations: ``'both'``, or only ``'pearson'`` or ``'spearman'`` (Table VI). One alone has
            the weight ``primary_weight`` for every sample.
        ranked: What the student's soft ranks are those of: ``'zscores'``, or ``'probabilities'`` as
            eq. 13 is printed.
        teacher_ranks: ``'exact'``, or ``'soft'`` as the student's. With exact ones, equal logits
            keep a small distance and gradient.

    Raises:
        TypeError: If an input is not a Tensor.
        ValueError: If an argument is out of range or the shape of an input is wrong.

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
        rank_method: RankMethod = 'fast',
        rank_strength: float = DEFAULT_STRENGTH,
        loss_weight: float = 1.0,
        gather: bool = True,
        reduction: ScalarReduction = 'mean',
        normalize: bool = True,
        correlations: Correlations = 'both',
        ranked: Ranked = 'zscores',
        teacher_ranks: TargetRanks = 'exact',
    ) -> None:
        super().__init__(loss_weight, gather)
        check_positive('tau', tau)
        check_non_negative('primary_weight', primary_weight)
        check_non_negative('secondary_weight', secondary_weight)
        check_choice('rank_method', rank_method, get_args(RankMethod))
        check_positive('rank_strength', rank_strength)
        check_choice('reduction', reduction, get_args(ScalarReduction))
        check_choice('correlations', correlations, get_args(Correlations))
        check_choice('ranked', ranked, get_args(Ranked))
        check_choice('teacher_ranks', teacher_ranks, get_args(TargetRanks))
        self.tau = tau
        self.primary_weight = primary_weight
        self.secondary_weight = secondary_weight
        self.rank_method = rank_method
        self.rank_strength = rank_strength
        self.reduction = reduction
        self.normalize = normalize
        self.correlations = correlations
        self.ranked = ranked
        self.teacher_ranks = teacher_ranks

    @saturating
    def forward(self, student: Tensor, teacher: Tensor) -> Tensor:
        """Weighted distance of the logits, a scalar.

        Args:
            student: Logits. Shape (B, C).
            teacher: Logits. Shape (B, C). They get no gradient.
        """
        check_row_pair(student, teacher)
        check_same_classes(student, teacher, 'use a loss on features, such as FKDLoss')
        teacher = teacher.detach()
        loss = cmkd(
            student,
            teacher,
            tau=self.tau,
            primary_weight=self.primary_weight,
            secondary_weight=self.secondary_weight,
            rank_method=self.rank_method,
            rank_strength=self.rank_strength,
            mean_entropy=self.joined(entropy(teacher)).mean(),
            reduction=self.reduction,
            normalize=self.normalize,
            correlations=self.correlations,
            ranked=self.ranked,
            teacher_ranks=self.teacher_ranks,
        )
        return self.loss_weight * self.joined_value(loss, len(student), self.reduction)
