"""MobileNetV2 for CIFAR."""

from collections.abc import Sequence
from functools import partial

from torch import Tensor, nn

from mmkd.backbones.cifar_backbone import KAIMING, CIFARBackbone, conv_bn_relu, residual_stage
from mmkd.registry import MODELS

# Expansion, channels before widening, blocks and stride of each stage.
STAGES = (
    (1, 16, 1, 1),
    (6, 24, 2, 1),
    (6, 32, 3, 2),
    (6, 64, 4, 2),
    (6, 96, 3, 1),
    (6, 160, 3, 2),
    (6, 320, 1, 1),
)
STEM_CHANNELS = 32
LAST_CHANNELS = 1280


@MODELS.register_module()
class CIFARMobileNetV2(CIFARBackbone):
    """MobileNetV2 for small images. The benchmark uses half the width.

    "MobileNetV2: Inverted Residuals and Linear Bottlenecks" (https://arxiv.org/abs/1801.04381),
    Table 2, with four strides of 2 instead of five, ReLU instead of ReLU6, and a 1 x 1 convolution
    in the first block, too. Seven stages are inverted residuals, the eighth is a 1 x 1 convolution
    to 1280 channels. A 32 x 32 image gives maps of 16, 16, 8, 4, 4, 2, 2 and 2 pixels a side.

    Args:
        widen_factor: Multiplies the channels of all stages. The last has at least 1280.
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARMobileNetV2()(torch.zeros(2, 3, 32, 32))]
        [(2, 1280, 2, 2)]
    """

    def __init__(
        self,
        widen_factor: float = 0.5,
        out_indices: Sequence[int] = (7,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        if not 1 / 16 <= widen_factor < float('inf'):
            raise ValueError(
                f'widen_factor: expected a finite number >= 0.0625, got {widen_factor!r}'
            )
        widths = [int(channels * widen_factor) for _, channels, _, _ in STAGES]
        widths.append(int(LAST_CHANNELS * max(widen_factor, 1)))
        super().__init__(widths, out_indices, init_cfg)
        in_channels = int(STEM_CHANNELS * widen_factor)
        self.conv1 = conv_bn_relu(3, in_channels, 3, stride=2)
        self.blocks = nn.ModuleList()
        for width, (expansion, _, num_blocks, stride) in zip(widths, STAGES, strict=False):
            block = partial(_InvertedResidual, expansion=expansion)
            self.blocks.append(residual_stage(block, in_channels, width, num_blocks, stride))
            in_channels = width
        self.conv2 = conv_bn_relu(in_channels, widths[-1], 1)

    def stem(self, x: Tensor) -> Tensor:
        """Run a convolution of stride 2, its norm and ReLU."""
        return self.conv1(x)

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Run inverted residuals, or the last convolution with norm and ReLU."""
        return (*self.blocks, self.conv2)[index](x)


class _InvertedResidual(nn.Module):
    """Expansion, depthwise convolution and linear projection, with a shortcut if shapes agree."""

    def __init__(self, in_channels: int, out_channels: int, stride: int, expansion: int) -> None:
        super().__init__()
        width = in_channels * expansion
        self.conv = nn.Sequential(
            *conv_bn_relu(in_channels, width, 1),
            *conv_bn_relu(width, width, 3, stride, groups=width),
            nn.Conv2d(width, out_channels, 1, bias=False),
            nn.BatchNorm2d(out_channels),
        )
        self.has_shortcut = stride == 1 and in_channels == out_channels

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.has_shortcut else self.conv(x)
