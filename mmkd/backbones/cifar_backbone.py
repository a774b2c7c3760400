"""Base class and layers of the CIFAR backbones."""

from collections.abc import Callable, Sequence

from mmengine.model import BaseModule
from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.functional.checks import check_positive_int

# As published: normal with variance 2 / (kernel area x output channels), biases 0.
KAIMING = dict(type='Kaiming', layer='Conv2d', mode='fan_out', nonlinearity='relu')


class CIFARBackbone(BaseModule):
    """A stem, then several stages, for images of 32 x 32 pixels.

    Subclasses have ``conv1``, ``bn1`` and one ``layer{i}`` a stage (from 1), or override
    :meth:`stem` and :meth:`stage`. Their parameters have the names of the public RepDistiller
    checkpoints ("Contrastive Representation Distillation", https://arxiv.org/abs/1910.10699).
    ``tools/convert_repdistiller.py`` converts them.

    Args:
        stage_channels: Channels of each stage's map.
        out_indices: Stages whose maps to return, counted from 0.
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
        ascending = [index for index in range(self.num_stages) if index in out_indices]
        if not ascending or list(out_indices) != ascending:
            raise ValueError(
                f'out_indices: expected ascending indices of the stages 0 to '
                f'{self.num_stages - 1}, got {out_indices!r}'
            )
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

    def stem(self, x: Tensor) -> Tensor:
        """Run the layers before the stages: convolution, norm and ReLU."""
        return F.relu(self.bn1(self.conv1(x)))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Run stage ``index`` on the output of the stage before it."""
        return self.get_submodule(f'layer{index + 1}')(x)


def blocks_per_stage(depth: int, other_layers: int) -> int:
    """Return the blocks a stage, of three stages of blocks with two convolutions.

    Args:
        depth: Layers of the network.
        other_layers: Layers outside of blocks.

    Raises:
        ValueError: If no number of blocks gives ``depth``.
    """
    check_positive_int('depth', depth)
    blocks, rest = divmod(depth - other_layers, 6)
    if rest or blocks < 1:
        raise ValueError(f'depth: expected 6 n + {other_layers} with n >= 1, got {depth}')
    return blocks


def residual_stage(
    block: Callable[[int, int, int], nn.Module],
    in_channels: int,
    out_channels: int,
    num_blocks: int,
    stride: int,
) -> nn.Sequential:
    """Stack ``block(in_channels, out_channels, stride)``. Only the first block has the stride."""
    first = block(in_channels, out_channels, stride)
    return nn.Sequential(
        first, *(block(out_channels, out_channels, 1) for _ in range(num_blocks - 1))
    )


def shortcut(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    """Return the identity, or a 1 x 1 convolution and its norm if the shape changes."""
    if stride == 1 and in_channels == out_channels:
        return nn.Identity()
    conv = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels))


def conv_bn_relu(
    in_channels: int, out_channels: int, kernel_size: int, stride: int = 1, groups: int = 1
) -> nn.Sequential:
    """Return a padded convolution without bias, its norm and ReLU."""
    conv = nn.Conv2d(
        in_channels, out_channels, kernel_size, stride, kernel_size // 2, groups=groups, bias=False
    )
    return nn.Sequential(conv, nn.BatchNorm2d(out_channels), nn.ReLU())
