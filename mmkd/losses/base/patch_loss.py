"""Base of losses between the patches of feature maps."""

import math
import warnings
from collections.abc import Sequence
from typing import get_args

from torch import Tensor

from mmkd.functional.checks import check_choice, check_positive_int
from mmkd.functional.kernel_alignment.patches import Average, Fit, check_feature_map
from mmkd.losses.base.level_loss import LevelLoss, Levels


class PatchLoss(LevelLoss):
    """A ``LevelLoss`` between maps that ``mmkd.functional.to_patches`` cuts into patches.

    Subclasses call ``warn_if_too_small``, and return 0 for maps with fewer than ``min_patches``
    pixels. ``mmkd.losses.PCKALoss`` describes the arguments.
    """

    def __init__(
        self,
        patch_size: int,
        average: Average | Sequence[Average],
        fit: Fit,
        min_patches: int,
        levels: Sequence[int] | None,
        loss_weight: float,
    ) -> None:
        super().__init__(levels=levels, loss_weight=loss_weight)
        check_positive_int('patch_size', patch_size)
        check_positive_int('min_patches', min_patches)
        check_choice('fit', fit, get_args(Fit))
        self.average = average if isinstance(average, str) else tuple(average)
        for name in [average] if isinstance(average, str) else average:
            check_choice('average', name, get_args(Average))
        self.patch_size = patch_size
        self.fit = fit
        self.min_patches = min_patches
        self._warned: set[int] = set()
        if self.levels is not None:
            self._check_average(len(self.levels))

    def forward(self, student: Levels, teacher: Levels) -> Tensor:
        """Weighted sum of the losses of all levels. See ``LevelLoss.forward``."""
        if self.levels is None:
            self._check_average(1 if isinstance(student, Tensor) else len(student))
        return super().forward(student, teacher)

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError unless both are feature maps (B, C, H, W) of the same shape."""
        check_feature_map('student', student)
        super().check_pair(student, teacher, name)

    def average_of(self, position: int) -> Average:
        """``average`` for the compared level at this position."""
        return self.average if isinstance(self.average, str) else self.average[position]

    def warn_if_too_small(self, student: Tensor, position: int) -> None:
        """Warn, once a level, if a map has fewer than ``min_patches`` pixels."""
        size = (student.shape[-2], student.shape[-1])
        if position in self._warned or math.prod(size) >= self.min_patches:
            return
        self._warned.add(position)
        warnings.warn(
            f'{type(self).__name__}: compared level {position} has {size[0]} x {size[1]} pixels, '
            f'fewer than min_patches={self.min_patches}; such maps contribute 0',
            stacklevel=2,
        )

    def _check_average(self, num_levels: int) -> None:
        if not isinstance(self.average, str) and len(self.average) != num_levels:
            raise ValueError(
                f'average: expected one for each of the {num_levels} compared levels, '
                f'got {self.average}'
            )
