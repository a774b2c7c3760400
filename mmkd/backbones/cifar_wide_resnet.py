"""Wide residual networks for CIFAR."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import KAIMING, CIFARBackbone, blocks_per_stage, residual_stage
from mmkd.functional.checks import check_positive_int
from mmkd.registry import MODELS


@MODELS.register_module()
class CIFARWideResNet(CIFARBackbone):
    """Wide ResNet of 6 n + 4 layers in three stages: WRN-16-2, WRN-40-1 and WRN-40-2.

    "Wide Residual Networks" (https://arxiv.org/abs/1605.07146), Table 1, without dropout. Norm and
    ReLU come before the convolutions, so the maps of the first two stages are sums without norm or
    ReLU. The last map has passed the final norm and ReLU. The sum before them is the output of the
    module ``block3``. A 32 x 32 image gives maps of 32, 16 and 8 pixels a side.

    Args:
        depth: Layers, 6 n + 4.
        widen_factor: Multiplies the stages' 16, 32 and 64 channels.
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARWideResNet(16, 2)(torch.zeros(2, 3, 32, 32))]
        [(2, 128, 8, 8)]
    """

    def __init__(
        self,
        depth: int,
        widen_factor: int,
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        check_positive_int('widen_factor', widen_factor)
        widths = [widen_factor * width for width in (16, 32, 64)]
        super().__init__(widths, out_indices, init_cfg)
        num_blocks = blocks_per_stage(depth, 4)
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.block1 = _Stage(16, widths[0], num_blocks, stride=1)
        self.block2 = _Stage(widths[0], widths[1], num_blocks, stride=2)
        self.block3 = _Stage(widths[1], widths[2], num_blocks, stride=2)
        self.bn1 = nn.BatchNorm2d(widths[2])

    def stem(self, x: Tensor) -> Tensor:
        """Run a convolution."""
        return self.conv1(x)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Run residual blocks. The last stage ends with norm and ReLU."""
        x = self.get_submodule(f'block{index + 1}')(x)
        return F.relu(self.bn1(x)) if index == 2 else x


class _Stage(nn.Module):
    """Residual blocks, under the public name ``layer``."""

    def __init__(self, in_channels: int, out_channels: int, num_blocks: int, stride: int) -> None:
        super().__init__()
        self.layer = residual_stage(
            _PreActivationBlock, in_channels, out_channels, num_blocks, stride
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layer(x)


class _PreActivationBlock(nn.Module):
    """Two 3 x 3 convolutions, each after norm and ReLU, beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.convShortcut: nn.Conv2d | None = None
        if in_channels != out_channels:
            self.convShortcut = nn.Conv2d(in_channels, out_channels, 1, stride, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        activated = F.relu(self.bn1(x))
        out = self.conv2(F.relu(self.bn2(self.conv1(activated))))
        # A shortcut with a convolution starts after the first activation, an identity before it.
        return out + (x if self.convShortcut is None else self.convShortcut(activated))
