"""ResNets of basic blocks for CIFAR."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import KAIMING, CIFARBackbone, blocks_per_stage
from mmkd.registry import MODELS


@MODELS.register_module()
class CIFARResNet(CIFARBackbone):
    """ResNet of 6 n + 2 layers in three stages: ResNet-8, 14, 20, 32, 44, 56 and 110.

    "Deep Residual Learning for Image Recognition" (2016), section 4.2, with a convolution on
    every shortcut that changes shape. A 32 x 32 image gives maps of 32, 16 and 8 pixels a side.

    Args:
        depth: Layers, 6 n + 2.
        widths: Channels of the stem and the three stages; (32, 64, 128, 256) makes the "x4"
            networks.
        out_indices: Stages, counted from 0, whose maps are returned.
        init_cfg: MMEngine's initialization config.

    Raises:
        ValueError: If an argument is out of its range.

    Example:
        >>> import torch
        >>> backbone = CIFARResNet(8, widths=(32, 64, 128, 256))
        >>> [tuple(x.shape) for x in backbone(torch.zeros(2, 3, 32, 32))]
        [(2, 256, 8, 8)]
    """

    def __init__(
        self,
        depth: int,
        widths: Sequence[int] = (16, 16, 32, 64),
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        if len(widths) != 4:
            raise ValueError(f'widths: expected those of the stem and 3 stages, got {widths!r}')
        super().__init__(widths[1:], out_indices, init_cfg)
        num_blocks = blocks_per_stage(depth, 2)
        self.conv1 = nn.Conv2d(3, widths[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(widths[0])
        self.layer1 = _stage(widths[0], widths[1], num_blocks, stride=1)
        self.layer2 = _stage(widths[1], widths[2], num_blocks, stride=2)
        self.layer3 = _stage(widths[2], widths[3], num_blocks, stride=2)

    def stem(self, x: Tensor) -> Tensor:
        """A convolution, its norm and ReLU."""
        return F.relu(self.bn1(self.conv1(x)))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Residual blocks; the last ends with a ReLU."""
        return (self.layer1, self.layer2, self.layer3)[index](x)


def _stage(in_channels: int, out_channels: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = _BasicBlock(in_channels, out_channels, stride)
    rest = (_BasicBlock(out_channels, out_channels, stride=1) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *rest)


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.downsample = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.downsample(x))
