"""ResNet-50 for CIFAR."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import KAIMING, CIFARBackbone
from mmkd.registry import MODELS

NUM_BLOCKS = (3, 4, 6, 3)
WIDTHS = (64, 128, 256, 512)
EXPANSION = 4


@MODELS.register_module()
class CIFARResNet50(CIFARBackbone):
    """ResNet-50 with a 3 x 3 stem of stride 1 and no pooling.

    "Deep Residual Learning for Image Recognition" (2016), Table 1; the strides are those of the
    3 x 3 convolutions. A 32 x 32 image gives maps of 32, 16, 8 and 4 pixels a side.

    Args:
        out_indices: Stages, counted from 0, whose maps are returned.
        init_cfg: MMEngine's initialization config.

    Raises:
        ValueError: If ``out_indices`` are not ascending indices of stages.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARResNet50()(torch.zeros(2, 3, 32, 32))]
        [(2, 2048, 4, 4)]
    """

    def __init__(
        self,
        out_indices: Sequence[int] = (3,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        super().__init__([EXPANSION * width for width in WIDTHS], out_indices, init_cfg)
        self.conv1 = nn.Conv2d(3, WIDTHS[0], 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(WIDTHS[0])
        in_channels = WIDTHS[0]
        for index, (width, num_blocks) in enumerate(zip(WIDTHS, NUM_BLOCKS, strict=True)):
            stride = 1 if index == 0 else 2
            self.add_module(f'layer{index + 1}', _stage(in_channels, width, num_blocks, stride))
            in_channels = EXPANSION * width

    def stem(self, x: Tensor) -> Tensor:
        """A convolution, its norm and ReLU."""
        return F.relu(self.bn1(self.conv1(x)))

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Bottlenecks; the last ends with a ReLU."""
        return self.get_submodule(f'layer{index + 1}')(x)


def _stage(in_channels: int, width: int, num_blocks: int, stride: int) -> nn.Sequential:
    first = _Bottleneck(in_channels, width, stride)
    rest = (_Bottleneck(EXPANSION * width, width, stride=1) for _ in range(num_blocks - 1))
    return nn.Sequential(first, *rest)


class _Bottleneck(nn.Module):
    """1 x 1, 3 x 3 and 1 x 1 convolutions beside a shortcut."""

    def __init__(self, in_channels: int, width: int, stride: int) -> None:
        super().__init__()
        out_channels = EXPANSION * width
        self.conv1 = nn.Conv2d(in_channels, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, out_channels, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(out_channels)
        self.shortcut: nn.Module = nn.Identity()
        if stride != 1 or in_channels != out_channels:
            self.shortcut = nn.Sequential(
                nn.Conv2d(in_channels, out_channels, 1, stride, bias=False),
                nn.BatchNorm2d(out_channels),
            )

    def forward(self, x: Tensor) -> Tensor:
        out = F.relu(self.bn1(self.conv1(x)))
        out = F.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        return F.relu(out + self.shortcut(x))
