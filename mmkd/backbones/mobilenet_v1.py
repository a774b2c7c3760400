"""MobileNetV1, which MMPretrain lacks."""

from mmengine.model import BaseModule
from torch import Tensor, nn

from mmkd.backbones.cifar_backbone import KAIMING, conv_bn_relu
from mmkd.registry import MODELS

STEM_CHANNELS = 32
# Channels before widening and stride of each separable convolution.
LAYERS = (
    (64, 1),
    (128, 2),
    (128, 1),
    (256, 2),
    (256, 1),
    (512, 2),
    *[(512, 1)] * 5,
    (1024, 2),
    (1024, 1),
)


@MODELS.register_module()
class MobileNetV1(BaseModule):
    """The backbone of "MobileNets: Efficient Convolutional Neural Networks", Table 1.

    The paper is https://arxiv.org/abs/1704.04861.

    Args:
        widen_factor: Multiplies the channels of all layers (the paper's alpha).
        init_cfg: MMEngine's initialization config.

    Attributes:
        out_channels: Channels of the result.

    Raises:
        ValueError: If ``widen_factor`` is not positive.

    Example:
        >>> import torch
        >>> (features,) = MobileNetV1(widen_factor=0.25)(torch.zeros(1, 3, 64, 64))
        >>> features.shape
        torch.Size([1, 256, 2, 2])
    """

    def __init__(
        self, widen_factor: float = 1.0, init_cfg: dict | list[dict] | None = None
    ) -> None:
        super().__init__(KAIMING if init_cfg is None else init_cfg)
        if widen_factor <= 0:
            raise ValueError(f'widen_factor: expected a positive number, got {widen_factor}')
        channels = round(STEM_CHANNELS * widen_factor)
        self.stem = conv_bn_relu(3, channels, kernel_size=3, stride=2)
        layers = []
        for width, stride in LAYERS:
            out_channels = round(width * widen_factor)
            layers += [
                conv_bn_relu(channels, channels, kernel_size=3, stride=stride, groups=channels),
                conv_bn_relu(channels, out_channels, kernel_size=1),
            ]
            channels = out_channels
        self.layers = nn.Sequential(*layers)
        self.out_channels = channels

    def forward(self, x: Tensor) -> tuple[Tensor]:
        """Map images (B, 3, H, W) to one map (B, out_channels, H / 32, W / 32)."""
        return (self.layers(self.stem(x)),)
