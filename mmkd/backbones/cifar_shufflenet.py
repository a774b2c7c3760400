"""ShuffleNet V1 and V2 for CIFAR."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import CIFARBackbone, residual_stage
from mmkd.registry import MODELS

GROUPS = 3  # of V1
STEM_CHANNELS = 24
NUM_BLOCKS = (4, 8, 4)
V1_WIDTHS = (240, 480, 960)
V2_WIDTHS = (116, 232, 464, 1024)


class _CIFARShuffleNet(CIFARBackbone):
    """A 1 x 1 stem and three stages; ``unit(in_channels, out_channels, stride)`` makes a unit."""

    def __init__(
        self,
        unit: Callable[[int, int, int], nn.Module],
        widths: Sequence[int],
        out_indices: Sequence[int],
        init_cfg: dict | list[dict] | None,
    ) -> None:
        super().__init__(widths, out_indices, init_cfg)
        self.conv1 = nn.Conv2d(3, STEM_CHANNELS, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(STEM_CHANNELS)
        self.layer1 = residual_stage(unit, STEM_CHANNELS, widths[0], NUM_BLOCKS[0], stride=2)
        self.layer2 = residual_stage(unit, widths[0], widths[1], NUM_BLOCKS[1], stride=2)
        self.layer3 = residual_stage(unit, widths[1], widths[2], NUM_BLOCKS[2], stride=2)


@MODELS.register_module()
class CIFARShuffleNetV1(_CIFARShuffleNet):
    """ShuffleNet V1 with three groups for small images.

    "ShuffleNet: An Extremely Efficient Convolutional Neural Network for Mobile Devices"
    (https://arxiv.org/abs/1707.01083), Table 1, g = 3, with a 1 x 1 stem, no pooling, and a ReLU
    after the depthwise convolutions. A 32 x 32 image gives maps of 16, 8 and 4 pixels a side.

    Args:
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config; None keeps PyTorch's own, as published.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARShuffleNetV1()(torch.zeros(2, 3, 32, 32))]
        [(2, 960, 4, 4)]
    """

    def __init__(
        self, out_indices: Sequence[int] = (2,), init_cfg: dict | list[dict] | None = None
    ) -> None:
        super().__init__(_V1Unit, V1_WIDTHS, out_indices, init_cfg)


@MODELS.register_module()
class CIFARShuffleNetV2(_CIFARShuffleNet):
    """ShuffleNet V2 of size 1x for small images.

    "ShuffleNet V2: Practical Guidelines for Efficient CNN Architecture Design"
    (https://arxiv.org/abs/1807.11164), Table 5, with a 1 x 1 stem and no pooling. A fourth stage is
    the 1 x 1 convolution to 1024 channels. A 32 x 32 image gives maps of 16, 8, 4 and 4 pixels a
    side.

    Args:
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config; None keeps PyTorch's own, as published.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARShuffleNetV2()(torch.zeros(2, 3, 32, 32))]
        [(2, 1024, 4, 4)]
    """

    def __init__(
        self, out_indices: Sequence[int] = (3,), init_cfg: dict | list[dict] | None = None
    ) -> None:
        super().__init__(_v2_unit, V2_WIDTHS, out_indices, init_cfg)
        self.conv2 = nn.Conv2d(V2_WIDTHS[2], V2_WIDTHS[3], 1, bias=False)
        self.bn2 = nn.BatchNorm2d(V2_WIDTHS[3])

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Run a stage of units, or the last convolution with norm and ReLU."""
        return F.relu(self.bn2(self.conv2(x))) if index == 3 else super().stage(index, x)


class _V1Unit(nn.Module):
    """Grouped 1 x 1, shuffle, depthwise and grouped 1 x 1 convolutions beside a shortcut.

    With stride 1 the unit adds its input. With stride 2 it concatenates its pooled input.
    """

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.stride = stride
        # The stem's few channels are not grouped.
        self.groups = 1 if in_channels == STEM_CHANNELS else GROUPS
        if stride == 2:
            out_channels -= in_channels
        width = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, width, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = _depthwise(width, stride)
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


def _v2_unit(in_channels: int, out_channels: int, stride: int) -> nn.Module:
    return _V2Unit(out_channels) if stride == 1 else _V2DownUnit(in_channels, out_channels)


class _V2Unit(nn.Module):
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


class _V2DownUnit(nn.Module):
    """Mixes two branches of stride 2 over all channels."""

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


def _depthwise(channels: int, stride: int) -> nn.Conv2d:
    return nn.Conv2d(channels, channels, 3, stride, padding=1, groups=channels, bias=False)
