"""What losses between the patches of feature maps share."""

import math
import warnings
from collections.abc import Sequence

from torch import Tensor

from mmkd.functional.checks import check_choice, check_positive_int
from mmkd.functional.kernel_alignment.patches import AVERAGES, FITS, check_feature_map
from mmkd.losses.base.level_loss import LevelLoss, Levels


class PatchLoss(LevelLoss):
    """A :class:`LevelLoss` between maps cut into patches by :func:`mmkd.functional.to_patches`.

    Subclasses let maps of fewer than ``min_patches`` pixels contribute 0, and call
    :meth:`warn_if_too_small`.

    Args:
        patch_size: Side of a patch in pixels of the feature map. A level with fewer than
            ``min_patches`` patches halves it until it has enough.
        average: What the loss is averaged over: ``'channel'``, ``'batch'`` (images) or
            ``'spatial'`` (positions in a patch); one for all levels or a sequence of one a level.
        fit: If a map is not a multiple of the patch: ``'resize'`` stretches it bilinearly to the
            next multiple, ``'pad'`` adds zeros.
        min_patches: Fewest patches of a level.
        levels: Indices of the recorded levels to compare; None means all.
        loss_weight: Factor of the sum over levels.
    """

    def __init__(
        self,
        patch_size: int,
        average: str | Sequence[str],
        fit: str,
        min_patches: int,
        levels: Sequence[int] | None,
        loss_weight: float,
    ) -> None:
        super().__init__(levels=levels, loss_weight=loss_weight)
        check_positive_int('patch_size', patch_size)
        check_positive_int('min_patches', min_patches)
        check_choice('fit', fit, FITS)
        for name in [average] if isinstance(average, str) else average:
            check_choice('average', name, AVERAGES)
        self.patch_size = patch_size
        self.average = average if isinstance(average, str) else tuple(average)
        self.fit = fit
        self.min_patches = min_patches
        self._warned: set[int] = set()
        if self.levels is not None:
            self._check_average(len(self.levels))

    def forward(self, student: Levels, teacher: Levels) -> Tensor:
        """Weighted sum of the levels' losses; see :meth:`LevelLoss.forward`."""
        if self.levels is None:
            self._check_average(1 if isinstance(student, Tensor) else len(student))
        return super().forward(student, teacher)

    def check_pair(self, student: Tensor, teacher: Tensor, name: str) -> None:
        """Raise ValueError unless both are feature maps (B, C, H, W) of one shape."""
        check_feature_map('student', student)
        super().check_pair(student, teacher, name)

    def average_of(self, position: int) -> str:
        """What the compared level of this position is averaged over."""
        return self.average if isinstance(self.average, str) else self.average[position]

    def warn_if_too_small(self, student: Tensor, position: int) -> None:
        """Warn, once a level, of a map with fewer than ``min_patches`` pixels."""
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
