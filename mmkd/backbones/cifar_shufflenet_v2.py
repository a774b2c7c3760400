"""ShuffleNet V2 for CIFAR."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import CIFARBackbone
from mmkd.registry import MODELS

STEM_CHANNELS = 24
WIDTHS = (116, 232, 464)
NUM_BLOCKS = (4, 8, 4)
LAST_CHANNELS = 1024


@MODELS.register_module()
class CIFARShuffleNetV2(CIFARBackbone):
    """ShuffleNet V2 of size 1x for small images.

    "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design" (2018), Table 5,
    with a 1 x 1 stem and no pooling. The stages are three of units and one 1 x 1 convolution to
    1024 channels. A 32 x 32 image gives maps of 16, 8, 4 and 4 pixels a side.

    Args:
        out_indices: Stages, counted from 0, whose maps are returned.
        init_cfg: MMEngine's initialization config; None keeps PyTorch's own, as published.

    Raises:
        ValueError: If ``out_indices`` are not ascending indices of stages.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARShuffleNetV2()(torch.zeros(2, 3, 32, 32))]
        [(2, 1024, 4, 4)]
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__((*WIDTHS, LAST_CHANNELS), out_indices, init_cfg)
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = _stage(STEM_CHANNELS, WIDTHS[0], NUM_BLOCKS[0])
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], NUM_BLOCKS[1])
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], NUM_BLOCKS[2])
        self.conv2 = nn.Conv2d(WIDTHS[2], LAST_CHANNELS, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(LAST_CHANNELS)

    def stem(self, x: Tensor) -> Tensor:
        """A convolution, its norm and ReLU."""
        return F.relu(self.bn1(self.conv1(x)))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Units, the first of stride 2, or the last convolution with norm and ReLU."""
        if index == 3:
            return F.relu(self.bn2(self.conv2(x)))
        return (self.layer1, self.layer2, self.layer3)[index](x)


def _stage(in_channels: int, width: int, num_blocks: int) -> nn.Sequential:
    first = _DownUnit(in_channels, width)
    return nn.Sequential(first, *(_Unit(width) for _ in range(num_blocks - 1)))


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)


class _Unit(nn.Module):
    """Keeps the first half of the channels, convolves the second, and mixes the two."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        half = channels // 2
        self.conv1 = nn.Conv2d(half, half, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(half)
        self.conv2 = _depthwise(half, stride=1)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(half, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        kept, out = x.chunk(2, dim=1)
        out = F.relu(self.bn1(self.conv1(out)))
        out = self.bn2(self.conv2(out))
        out = F.relu(self.bn3(self.conv3(out)))
        return F.channel_shuffle(torch.cat([kept, out], dim=1), 2)


class _DownUnit(nn.Module):
    """Two branches of stride 2 over all channels, mixed."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        half = out_channels // 2
        self.conv1 = _depthwise(in_channels, stride=2)
        self.bn1 = nn.BatchNorm2d(in_channels)
        self.conv2 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn2 = nn.BatchNorm2d(half)
        self.conv3 = nn.Conv2d(in_channels, half, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(half)
        self.conv4 = _depthwise(half, stride=2)
        self.bn4 = nn.BatchNorm2d(half)
        self.conv5 = nn.Conv2d(half, half, 1, bias=False)
        self.bn5 = nn.BatchNorm2d(half)

    def forward(self, x: Tensor) -> Tensor:
        left = self.bn1(self.conv1(x))
        left = F.relu(self.bn2(self.conv2(left)))
        right = F.relu(self.bn3(self.conv3(x)))
        right = self.bn4(self.conv4(right))
        right = F.relu(self.bn5(self.conv5(right)))
        return F.channel_shuffle(torch.cat([left, right], dim=1), 2)
