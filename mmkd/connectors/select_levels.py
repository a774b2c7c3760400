"""Levels of a feature pyramid, by index and at a coarser scale."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.functional.checks import (
    as_levels,
    check_has_level,
    check_level_indices,
    check_positive_int,
)
from mmkd.registry import MODELS


@MODELS.register_module()
class SelectLevels(nn.Module):
    """Pick levels of a feature pyramid, and average-pool them to the strides of another one.

    Use it if the two pyramids start at different strides. It has no weights. It works on either
    side, alone or before a :class:`~mmkd.connectors.LevelwiseConv` in a chain of connectors. The
    next connector or loss counts the picked levels from 0.

    Args:
        levels: Indices of the levels, in the order wanted.
        downsample: Factor of the strides. Sizes are rounded up, as padded strided convolutions and
            the extra levels of an FPN do. A window at the border averages the pixels it covers.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> pyramid = tuple(torch.zeros(1, 8, size, size) for size in (25, 13, 7, 4))
        >>> [tuple(level.shape) for level in SelectLevels((0, 2), downsample=2)(pyramid)]
        [(1, 8, 13, 13), (1, 8, 4, 4)]
    """

    def __init__(self, levels: Sequence[int], downsample: int = 1) -> None:
        super().__init__()
        check_level_indices(levels)
        check_positive_int('downsample', downsample)
        self.levels = tuple(levels)
        self.downsample = downsample

    def forward(self, features: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
        """The chosen levels.

        Args:
            features: One Tensor of shape (B, C, H, W) per level, or a lone Tensor if there is one
                level.

        Returns:
            One Tensor of shape (B, C, ceil(H / downsample), ceil(W / downsample)) per chosen
            level.

        Raises:
            TypeError: If ``features`` is neither a Tensor nor a sequence of Tensors.
            ValueError: If a level is missing.
        """
        pyramid = as_levels('features', features)
        for level in self.levels:
            check_has_level('features', pyramid, level)
        return tuple(self._pool(pyramid[level]) for level in self.levels)

    def _pool(self, feature: Tensor) -> Tensor:
        if self.downsample == 1:
            return feature
        return F.avg_pool2d(feature, self.downsample, ceil_mode=True, count_include_pad=False)
