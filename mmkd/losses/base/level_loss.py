"""Base of losses over the levels of a feature pyramid."""

from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from mmkd.functional.checks import (
    as_levels,
    check_has_level,
    check_level_indices,
    check_non_negative,
    check_same_shape,
)
from mmkd.functional.saturation import saturating

Levels = Tensor | Sequence[Tensor]


class LevelLoss(nn.Module):
    """A weighted sum over pyramid levels of a loss between two feature maps.

    Subclasses implement ``level_loss``, or ``level_losses`` where all levels together are faster.
    They override ``check_pair`` if they can compare maps of different shapes.

    Args:
        levels: Indices of the recorded levels to compare. None compares all.
        loss_weight: Factor of the sum.

    Attributes:
        needs_equal_shapes: Whether both maps must have the same number of channels. The algorithm
            checks it before the first step.
    """

    needs_equal_shapes = True

    def __init__(self, levels: Sequence[int] | None = None, loss_weight: float = 1.0) -> None:
        super().__init__()
        if levels is not None:
            check_level_indices(levels)
        check_non_negative('loss_weight', loss_weight)
        self.levels = None if levels is None else tuple(levels)
        self.loss_weight = loss_weight

    @saturating
    def forward(self, student: Levels, teacher: Levels) -> Tensor:
        """Weighted sum of the losses of all levels.

        Args:
            student: A feature map, or a sequence with one map a level.
            teacher: The same, with the student's shapes unless a subclass says otherwise. It gets
                no gradient.

        Returns:
            A scalar.

        Raises:
            TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
            ValueError: If levels are missing or cannot be compared.
        """
        students, teachers = [], []
        for name, s, t in self._pairs(student, teacher):
            self.check_pair(s, t, name)
            students.append(s)
            teachers.append(t.detach())
        return self.loss_weight * self.level_losses(students, teachers).sum()

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError, naming ``name``, unless the two maps of a level have the same shape."""
        check_same_shape(student, teacher, name)

    def level_losses(self, students: Sequence[Tensor], teachers: Sequence[Tensor]) -> Tensor:
        """Losses of the compared levels, shape (levels,)."""
        pairs = zip(students, teachers, strict=True)
        return torch.stack([self.level_loss(*pair, i) for i, pair in enumerate(pairs)])

    def level_loss(self, student: Tensor, teacher: Tensor, position: int) -> Tensor:
        """Loss of one level, a scalar. ``position`` counts the compared levels from 0."""
        raise NotImplementedError(f'{type(self).__name__}: expected a method level_loss')

    def _pairs(self, student: Levels, teacher: Levels) -> Iterator[tuple[str, Tensor, Tensor]]:
        """The teacher's name in errors and both maps, for each compared level."""
        students, teachers = as_levels('student', student), as_levels('teacher', teacher)
        if self.levels is None and len(students) != len(teachers):
            raise ValueError(
                f"teacher: expected the student's {len(students)} levels, got {len(teachers)}; "
                'choose with `levels`'
            )
        for level in range(len(students)) if self.levels is None else self.levels:
            check_has_level('student', students, level)
            check_has_level('teacher', teachers, level)
            name = 'teacher' if isinstance(teacher, Tensor) else f'teacher[{level}]'
            yield name, students[level], teachers[level]
