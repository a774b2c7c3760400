"""Any loss on class logits, at the locations where the teacher is most confident."""

from collections.abc import Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from mmkd.functional.checks import check_positive_int
from mmkd.functional.numerics import upcast
from mmkd.losses.base.level_loss import LevelLoss
from mmkd.registry import MODELS


@MODELS.register_module()
class TopKLocationsLoss(LevelLoss):
    """Another loss on logits (N, K), at the most confident locations of dense heads.

    A dense head predicts at every location and anchor, and nearly all of them are background. For
    each image and level, this loss keeps the ``top_k`` locations with the teacher's highest class
    score. The wrapped loss gets their rows of K logits from both networks. Both heads need the same
    classes, anchors and levels.

    Args:
        loss: A loss on logits, ``forward(student, teacher)`` with shapes (N, K). A module or its
            config.
        num_classes: K, the number of channels for each anchor of a location. None leaves it to the
            training algorithm, which sets ``num_classes`` before the first step.
        top_k: Largest number of locations for each image and level.
        levels: Indices of the recorded levels to compare. None compares all.
        loss_weight: Factor of the sum over levels, on top of the wrapped loss's own.

    Raises:
        ValueError: If an argument is out of range.

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
        num_classes: int | None = None,
        top_k: int = 100,
        levels: Sequence[int] | None = None,
        loss_weight: float = 1.0,
    ) -> None:
        super().__init__(levels=levels, loss_weight=loss_weight)
        if num_classes is not None:
            check_positive_int('num_classes', num_classes)
        check_positive_int('top_k', top_k)
        self.loss = loss if isinstance(loss, nn.Module) else MODELS.build(dict(loss))
        self.num_classes = num_classes
        self.top_k = top_k

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError, naming ``name``, unless both are (B, A * num_classes, H, W)."""
        super().check_pair(student, teacher, name)
        if student.ndim != 4 or student.shape[1] % self._classes():
            raise ValueError(
                f'{name}: expected a shape (B, A * {self.num_classes}, H, W) of class logits, '
                f'got {tuple(teacher.shape)}'
            )

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """The wrapped loss on the chosen rows of one level."""
        students, teachers = self._rows(student), self._rows(teacher)
        count = min(self.top_k, teachers.shape[1])
        chosen = teachers.amax(-1).topk(count, dim=1).indices[..., None]
        chosen = chosen.expand(-1, -1, teachers.shape[-1])
        chosen_of = [upcast(rows.gather(1, chosen).flatten(0, 1)) for rows in (students, teachers)]
        return self.loss(*chosen_of)

    def _rows(self, logits: Tensor) -> Tensor:
        """(B, A * K, H, W) to (B, H * W * A, K)."""
        return logits.permute(0, 2, 3, 1).reshape(len(logits), -1, self._classes())

    def _classes(self) -> int:
        if self.num_classes is None:
            raise ValueError(
                'num_classes: expected the number of classes of the heads, got None; pass it, or '
                "train with one of mmkd's algorithms, which sets it before the first step"
            )
        return self.num_classes
