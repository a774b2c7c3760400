"""One convolution per pyramid level."""

from collections.abc import Sequence

from torch import Tensor, nn

from mmkd.functional.checks import check_positive_int
from mmkd.registry import MODELS


@MODELS.register_module()
class LevelwiseConv(nn.Module):
    """Project each level of a feature pyramid with its own convolution.

    It brings the student to the teacher's width. A kernel of 1 is the projection of the "+ mimic"
    term of PCKA (Zhou et al., "Rethinking Centered Kernel Alignment in Knowledge Distillation",
    2024, Table 3, https://arxiv.org/abs/2401.11824).

    Args:
        in_channels: Channels of the levels: one number for all, or one for each level, as the
            stages of a backbone need. A config may leave it out.
        out_channels: Channels of the result. In a config the default, ``'teacher'``, stands for
            the channels of the teacher's levels.
        num_levels: Number of levels to project. Coarser levels are dropped, so the indices of the
            others stay. In a config the default is as many as the loss compares.
        kernel_size: Side of the kernels, odd. The spatial size stays.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> pyramid = tuple(torch.zeros(1, 8, size, size) for size in (16, 8, 4))
        >>> [tuple(level.shape) for level in LevelwiseConv(8, 32, num_levels=2)(pyramid)]
        [(1, 32, 16, 16), (1, 32, 8, 8)]
    """

    def __init__(
        self,
        in_channels: int | Sequence[int],
        out_channels: int,
        num_levels: int,
        kernel_size: int = 1,
    ) -> None:
        super().__init__()
        check_positive_int('out_channels', out_channels)
        check_positive_int('num_levels', num_levels)
        check_positive_int('kernel_size', kernel_size)
        if kernel_size % 2 == 0:
            raise ValueError(f'kernel_size: expected an odd number, got {kernel_size}')
        self.out_channels = out_channels
        self.convs = nn.ModuleList(
            nn.Conv2d(width, out_channels, kernel_size, padding=kernel_size // 2)
            for width in _widths(in_channels, num_levels)
        )

    def forward(self, features: Tensor | Sequence[Tensor]) -> Tensor | tuple[Tensor, ...]:
        """Project the levels.

        Args:
            features: One Tensor of shape (B, C, H, W) per level, C its ``in_channels``, or a lone
                Tensor if there is one level.

        Returns:
            A Tensor for a Tensor, else a tuple of ``num_levels`` Tensors.

        Raises:
            ValueError: If there are fewer than ``num_levels`` levels.
        """
        levels = (features,) if isinstance(features, Tensor) else tuple(features)
        if len(levels) < len(self.convs):
            raise ValueError(
                f'features: expected at least {len(self.convs)} levels, got {len(levels)}'
            )
        projected = tuple(conv(x) for conv, x in zip(self.convs, levels, strict=False))
        return projected[0] if isinstance(features, Tensor) else projected


def _widths(in_channels: int | Sequence[int], num_levels: int) -> tuple[int, ...]:
    """One number of channels a level."""
    if isinstance(in_channels, Sequence):
        widths = tuple(in_channels)
    else:
        widths = (in_channels,) * num_levels
    if len(widths) != num_levels:
        raise ValueError(
            f'in_channels: expected one for each of the {num_levels} levels, got {widths}'
        )
    for width in widths:
        check_positive_int('in_channels', width)
    return widths
