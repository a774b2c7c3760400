"""What the backbones share."""

from abc import ABCMeta, abstractmethod
from collections.abc import Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.functional.checks import check_positive_int

# As published: normal with variance 2 / (kernel area x output channels), biases 0.
KAIMING = dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu')


class CIFARBackbone(BaseModule, metaclass=ABCMeta):
    """A stem and stages, one after another, for images of 32 x 32 pixels.

    Subclasses implement :meth:`stem` and :meth:`stage`. Their parameters carry the names of the
    public RepDistiller checkpoints of "Contrastive Representation Distillation" (2020), which
    ``tools/convert_repdistiller.py`` converts.

    Args:
        stage_channels: Channels of each stage's map.
        out_indices: Stages, counted from 0, whose maps are returned.
        init_cfg: MMEngine's initialization config; None keeps PyTorch's own.

    Attributes:
        out_channels: Channels of the last returned map.

    Raises:
        ValueError: If ``out_indices`` are not ascending indices of stages.
    """

    def __init__(
        self,
        stage_channels: Sequence[int],
        out_indices: Sequence[int],
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(init_cfg)
        self.num_stages = len(stage_channels)
        _check_out_indices(out_indices, self.num_stages)
        self.out_indices = tuple(out_indices)
        self.out_channels = stage_channels[self.out_indices[-1]]

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        """Return the maps of the stages in ``out_indices``.

        Args:
            x: Normalized images of shape (B, 3, H, W).

        Returns:
            One Tensor of shape (B, C, h, w) a stage.
        """
        x = self.stem(x)
        maps = []
        for index in range(self.num_stages):
            x = self.stage(index, x)
            if index in self.out_indices:
                maps.append(x)
        return tuple(maps)

    @abstractmethod
    def stem(self, x: Tensor) -> Tensor:
        """What comes before the stages."""

    @abstractmethod
    def stage(self, index: int, x: Tensor) -> Tensor:
        """The map of stage ``index``, given that of the one before."""


def _check_out_indices(out_indices: Sequence[int], num_stages: int) -> None:
    ascending = [index for index in range(num_stages) if index in out_indices]
    if not ascending or list(out_indices) != ascending:
        raise ValueError(
            f'out_indices: expected ascending indices of the stages 0 to {num_stages - 1}, '
            f'got {out_indices!r}'
        )


def blocks_per_stage(depth: int, other_layers: int) -> int:
    """Blocks in each of three stages of two-convolution blocks.

    Args:
        depth: Layers of the network.
        other_layers: Those in no block.

    Raises:
        ValueError: If ``depth`` does not come out even.
    """
    check_positive_int('depth', depth)
    blocks, rest = divmod(depth - other_layers, 6)
    if rest or blocks < 1:
        raise ValueError(f'depth: expected 6 n + {other_layers} with n >= 1, got {depth}')
    return blocks


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """A convolution that keeps the size at stride 1, without bias, its norm and ReLU."""
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
