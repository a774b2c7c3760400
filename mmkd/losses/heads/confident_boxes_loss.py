"""Base of losses between predicted boxes, where the teacher sees an object."""

from abc import ABCMeta, abstractmethod

from torch import Tensor, nn

from mmkd.functional.checks import check_non_negative
from mmkd.functional.saturation import saturating
from mmkd.losses.base.level_loss import Levels
from mmkd.losses.heads.confidence import check_min_score, confidence
from mmkd.losses.heads.dense_rows import dense_rows


class ConfidentBoxesLoss(nn.Module, metaclass=ABCMeta):
    """Compare boxes of dense heads, each weighted by the teacher's score.

    A subclass says how many anchors the channels of a location make, and what the distance of two
    boxes is.

    Args:
        min_score: Locations with a lower score have weight 0.
        loss_weight: Factor of the loss.

    Raises:
        ValueError: If an argument is out of range.
    """

    needs_equal_shapes = True

    def __init__(self, min_score: float, loss_weight: float) -> None:
        super().__init__()
        check_min_score(min_score)
        check_non_negative('loss_weight', loss_weight)
        self.min_score, self.loss_weight = min_score, loss_weight

    @saturating
    def forward(
        self, student: Levels, teacher: Levels, scores: Levels, objectness: Levels | None = None
    ) -> Tensor:
        """Weighted mean of the distance over the anchors of all levels.

        Args:
            student: Predicted boxes, one map (B, A * C, H, W) a level.
            teacher: The same. It gets no gradient.
            scores: The teacher's class logits, one map (B, A * K, H, W) a level.
            objectness: The teacher's logits of objectness, one map (B, A, H, W) a level, for heads
                whose scores are products.

        Returns:
            A scalar. It is 0 if all weights are.

        Raises:
            TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
            ValueError: If levels are missing or maps do not fit each other.
        """
        maps = dict(student=student, teacher=teacher, scores=scores)
        if objectness is not None:
            maps['objectness'] = objectness
        students, teachers, *seen = dense_rows(**maps)
        anchors = self.anchors(students.shape[1])
        weights = confidence(*seen, anchors=anchors, min_score=self.min_score)
        return self.loss_weight * self.distance(students, teachers, weights)

    @abstractmethod
    def anchors(self, channels: int) -> int:
        """Return the number of anchors of a location, or raise ValueError."""

    @abstractmethod
    def distance(self, students: Tensor, teachers: Tensor, weights: Tensor) -> Tensor:
        """Return the weighted mean of the distances; rows are (N, A * C), weights (N, A)."""
