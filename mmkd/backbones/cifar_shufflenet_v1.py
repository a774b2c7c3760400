"""ShuffleNet V1 for CIFAR."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import CIFARBackbone
from mmkd.registry import MODELS

GROUPS = 3
STEM_CHANNELS = 24
WIDTHS = (240, 480, 960)
NUM_BLOCKS = (4, 8, 4)


@MODELS.register_module()
class CIFARShuffleNetV1(CIFARBackbone):
    """ShuffleNet V1 of three groups for small images.

    "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices" (2018),
    Table 1, g = 3, with a 1 x 1 stem, no pooling, and a ReLU after the depthwise convolutions. A
    32 x 32 image gives maps of 16, 8 and 4 pixels a side.

    Args:
        out_indices: Stages, counted from 0, whose maps are returned.
        init_cfg: MMEngine's initialization config; None keeps PyTorch's own, as published.

    Raises:
        ValueError: If ``out_indices`` are not ascending indices of stages.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARShuffleNetV1()(torch.zeros(2, 3, 32, 32))]
        [(2, 960, 4, 4)]
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (2,),
        init_cfg: dict | list[dict] | None = None,
    ) -> None:
        super().__init__(WIDTHS, out_indices, init_cfg)
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        # Few channels are not worth grouping.
        self.layer1 = _stage(STEM_CHANNELS, WIDTHS[0], NUM_BLOCKS[0], first_groups=1)
        self.layer2 = _stage(WIDTHS[0], WIDTHS[1], NUM_BLOCKS[1], first_groups=GROUPS)
        self.layer3 = _stage(WIDTHS[1], WIDTHS[2], NUM_BLOCKS[2], first_groups=GROUPS)

    def stem(self, x: Tensor) -> Tensor:
        """A convolution, its norm and ReLU."""
        return F.relu(self.bn1(self.conv1(x)))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Units, the first of stride 2; the last ends with a ReLU."""
        return (self.layer1, self.layer2, self.layer3)[index](x)


def _stage(in_channels: int, width: int, num_blocks: int, first_groups: int) -> nn.Sequential:
    first = _Unit(in_channels, width - in_channels, first_groups, stride=2)
    rest = (_Unit(width, width, GROUPS, stride=1) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *rest)


class _Unit(nn.Module):
    """Grouped 1 x 1, shuffle, depthwise and grouped 1 x 1 convolutions beside a shortcut.

    Of stride 1 it adds its input; of stride 2 it concatenates its pooled input.
    """

    def __init__(self, in_channels: int, out_channels: int, groups: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 4
        self.stride = stride
        self.groups = groups
        self.conv1 = nn.Conv2d(in_channels, width, 1, groups=groups, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, groups=width, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, groups=GROUPS, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.channel_shuffle(out, self.groups)
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.stride == 1:
            return F.relu(out + x)
        return F.relu(torch.cat([out, F.avg_pool2d(x, 3, stride=2, padding=1)], dim=1))
