"""A loss between the class logits of dense heads, where the teacher is most confident."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmkd.functional.checks import check_positive_int
from mmkd.losses.base.level_loss import LevelLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class TopKLocationsLoss(LevelLoss):
    """Applies a loss on logits (N, K) to the locations of dense heads that matter most.

    A dense head says something of every location and anchor, nearly all of it background. Of each
    image and level those are taken whose highest logit is largest in the teacher, and their rows of
    K logits, student's and teacher's, are given to the wrapped loss. The teacher says where to look
    at the student, hence a loss around a loss and not a connector. Both heads need the same
    classes, anchors and levels.

    Args:
        loss: A loss on logits, ``forward(student, teacher)`` or MMRazor's ``forward(preds_S,
            preds_T)`` of shape (N, K): its config, or the module.
        num_classes: K, the channels that a location has for each anchor.
        top_k: How many locations of an image and level, at most.
        levels: Indices of the recorded levels to compare; None means all.
        loss_weight: Factor of the sum over the levels, beside the wrapped loss' own.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> maps = (torch.randn(2, 3 * 10, 8, 8), torch.randn(2, 3 * 10, 4, 4))  # three anchors
        >>> loss = TopKLocationsLoss(dict(type='mmkd.LCKALoss'), num_classes=10)
        >>> loss(maps, maps) < 1e-4
        tensor(True)
    """

    def __init__(
        self,
        loss: nn.Module | Mapping[str, Any],
        num_classes: int,
        top_k: int = 100,
        levels: Sequence[int] | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(levels=levels, loss_weight=loss_weight)
        check_positive_int('num_classes', num_classes)
        check_positive_int('top_k', top_k)
        self.loss = loss if isinstance(loss, nn.Module) else MODELS.build(dict(loss))
        self.num_classes = num_classes
        self.top_k = top_k

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError, naming ``name``, unless both are (B, A * num_classes, H, W)."""
        super().check_pair(student, teacher, name)
        if student.ndim != 4 or student.shape[1] % self.num_classes:
            raise ValueError(
                f'{name}: expected a shape (B, A * {self.num_classes}, H, W) of class logits, '
                f'got {tuple(teacher.shape)}'
            )

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """The wrapped loss of one level's rows."""
        students, teachers = self._rows(student), self._rows(teacher)
        count = min(self.top_k, teachers.shape[1])
        chosen = teachers.amax(-1).topk(count, dim=1).indices[..., None]
        chosen = chosen.expand(-1, -1, self.num_classes)
        return self.loss(
            students.gather(1, chosen).flatten(0, 1), teachers.gather(1, chosen).flatten(0, 1)
        )

    def _rows(self, logits: Tensor) -> Tensor:
        """(B, A * K, H, W) to (B, H * W * A, K)."""
        return logits.permute(0, 2, 3, 1).reshape(len(logits), -1, self.num_classes)
