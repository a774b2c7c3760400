"""ResNets for CIFAR: of basic blocks, and ResNet-50."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import (
    KAIMING,
    CIFARBackbone,
    blocks_per_stage,
    residual_stage,
    shortcut,
)
from mmkd.registry import MODELS


@MODELS.register_module()
class CIFARResNet(CIFARBackbone):
    """ResNet of 6 n + 2 layers in three stages: ResNet-8, 14, 20, 32, 44, 56 and 110.

    "Deep Residual Learning for Image Recognition" (https://arxiv.org/abs/1512.03385), section 4.2,
    with a convolution on every shortcut that changes shape. A 32 x 32 image gives maps of 32, 16
    and 8 pixels a side.

    Args:
        depth: Layers, 6 n + 2.
        widths: Channels of the stem and the three stages; (32, 64, 128, 256) makes the "x4"
            networks.
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config.

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
        self.layer1 = residual_stage(_BasicBlock, widths[0], widths[1], num_blocks, stride=1)
        self.layer2 = residual_stage(_BasicBlock, widths[1], widths[2], num_blocks, stride=2)
        self.layer3 = residual_stage(_BasicBlock, widths[2], widths[3], num_blocks, stride=2)


@MODELS.register_module()
class CIFARResNet50(CIFARBackbone):
    """ResNet-50 with a 3 x 3 stem of stride 1 and no pooling.

    "Deep Residual Learning for Image Recognition" (https://arxiv.org/abs/1512.03385), Table 1. The
    3 x 3 convolutions have the strides. A 32 x 32 image gives maps of 32, 16, 8 and 4 pixels a
    side.

    Args:
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARResNet50()(torch.zeros(2, 3, 32, 32))]
        [(2, 2048, 4, 4)]
    """

    def __init__(
        self, out_indices: Sequence[int] = (3,), init_cfg: dict | list[dict] | None = KAIMING
    ) -> None:
        super().__init__((256, 512, 1024, 2048), out_indices, init_cfg)
        self.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(64)
        self.layer1 = residual_stage(_Bottleneck, 64, 256, 3, stride=1)
        self.layer2 = residual_stage(_Bottleneck, 256, 512, 4, stride=2)
        self.layer3 = residual_stage(_Bottleneck, 512, 1024, 6, stride=2)
        self.layer4 = residual_stage(_Bottleneck, 1024, 2048, 3, stride=2)


class _BasicBlock(nn.Module):
    """Two 3 x 3 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(out_channels)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(out_channels)
        self.downsample = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = self.bn2(self.conv2(out))
        return F.relu(out + self.downsample(x))


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, out_channels: int, stride: int) -> None:
        super().__init__()
        width = out_channels // 4
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut = shortcut(in_channels, out_channels, stride)

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))
