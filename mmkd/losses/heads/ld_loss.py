"""LD: localization distillation of heads that predict box distributions."""

from torch import Tensor

from mmkd.functional.checks import check_positive
from mmkd.functional.localization import localization_divergence
from mmkd.losses.heads.confident_boxes_loss import ConfidentBoxesLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class LDLoss(ConfidentBoxesLoss):
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

    def __init__(
        self, tau: float = 10.0, min_score: float = 0.1, loss_weight: float = 0.25
    ) -> None:
        super().__init__(min_score, loss_weight)
        check_positive('tau', tau)
        self.tau = tau

    def anchors(self, channels: int) -> int:
        """Heads of the GFL family have one."""
        return 1

    def distance(self, students: Tensor, teachers: Tensor, weights: Tensor) -> Tensor:
        """Divergence of distributions."""
        return localization_divergence(
            _edges(students), _edges(teachers), weights[:, 0], tau=self.tau
        )


def _edges(rows: Tensor) -> Tensor:
    """(N, 4 * bins) to (N, 4, bins)."""
    if rows.shape[1] % 4:
        raise ValueError(
            f'student: expected 4 * bins channels of box distributions, got {rows.shape[1]}; '
            'record the box branch of a head of the GFL family'
        )
    return rows.unflatten(1, (4, -1))
