"""LD: localization distillation of heads that predict box distributions."""

from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative, check_positive
from mmkd.functional.localization import localization_divergence
from mmkd.functional.saturation import saturating
from mmkd.losses.base.level_loss import Levels
from mmkd.losses.heads.confidence import check_min_score, confidence
from mmkd.losses.heads.dense_rows import dense_rows
from mmkd.registry import MODELS


@MODELS.register_module()
class LDLoss(nn.Module):
    """Divergence of box distributions, where the teacher sees an object.

    For detectors of the GFL family, whose heads predict each edge of a box as a distribution over
    distances: see :func:`mmkd.functional.localization_divergence`, Zheng et al., CVPR 2022,
    https://arxiv.org/abs/2102.12252. Both heads need the same number of bins and the same levels.

    The paper distills where anchors overlap the ground truth. This loss weights each location by
    the teacher's highest class probability, so it needs no anchors, and no labels.

    Args:
        tau: Temperature of both softmaxes. Default: 10, as published.
        min_score: Locations whose highest class probability is lower have weight 0. Default: 0.1.
        loss_weight: Factor of the loss. Default: 0.25, as published.

    Raises:
        ValueError: If an argument is out of range.

    Example:
        >>> import torch
        >>> maps = (torch.randn(2, 4 * 17, 8, 8), torch.randn(2, 4 * 17, 4, 4))  # 17 distances
        >>> scores = (torch.randn(2, 80, 8, 8), torch.randn(2, 80, 4, 4))
        >>> LDLoss()(maps, maps, scores)
        tensor(0.)
    """

    needs_equal_shapes = True

    def __init__(
        self, tau: float = 10.0, min_score: float = 0.1, loss_weight: float = 0.25
    ) -> None:
        super().__init__()
        check_positive('tau', tau)
        check_min_score(min_score)
        check_non_negative('loss_weight', loss_weight)
        self.tau, self.min_score, self.loss_weight = tau, min_score, loss_weight

    @saturating
    def forward(
        self, student: Levels, teacher: Levels, scores: Levels, objectness: Levels | None = None
    ) -> Tensor:
        """Weighted mean of the divergence over the locations of all levels.

        Args:
            student: Logits of distances, one map (B, 4 * bins, H, W) a level.
            teacher: The same.
            scores: The teacher's class logits, one map (B, K, H, W) a level.
            objectness: The teacher's logits of objectness, one map (B, 1, H, W) a level, for heads
                whose scores are products.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
            ValueError: If levels are missing or maps do not fit each other.
        """
        maps = dict(student=student, teacher=teacher, scores=scores)
        if objectness is not None:
            maps['objectness'] = objectness
        students, teachers, *seen = dense_rows(**maps)
        weights = confidence(*seen, anchors=1, min_score=self.min_score)[:, 0]
        divergence = localization_divergence(
            _edges(students), _edges(teachers), weights, tau=self.tau
        )
        return self.loss_weight * divergence


def _edges(rows: Tensor) -> Tensor:
    """(N, 4 * bins) to (N, 4, bins)."""
    if rows.shape[1] % 4:
        raise ValueError(
            f'student: expected 4 * bins channels of box distributions, got {rows.shape[1]}; '
            'record the box branch of a head of the GFL family'
        )
    return rows.unflatten(1, (4, -1))
