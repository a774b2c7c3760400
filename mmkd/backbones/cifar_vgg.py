"""VGG networks for CIFAR."""

from collections.abc import Sequence

from torch import Tensor, nn
from torch.nn import functional as F

from mmkd.backbones.cifar_backbone import KAIMING, CIFARBackbone
from mmkd.registry import MODELS

CONVS_PER_STAGE = {8: 1, 13: 2}
WIDTHS = (64, 128, 256, 512, 512)


@MODELS.register_module()
class CIFARVGG(CIFARBackbone):
    """VGG-8 or VGG-13 with batch normalization, for a head with one linear layer.

    "Very Deep Convolutional Networks for Large-Scale Image Recognition"
    (https://arxiv.org/abs/1409.1556), Table 1 B (VGG-8 has one convolution a stage). As in the
    paper, the depth counts three linear layers. The first four stages are pooled in between. A 32 x
    32 image gives maps of 32, 16, 8, 4 and 4 pixels a side. Maps are taken after the ReLU; the
    modules ``block{i}`` end before it.

    Args:
        depth: 8 or 13.
        out_indices: Stages whose maps to return, counted from 0.
        init_cfg: MMEngine's initialization config.

    Example:
        >>> import torch
        >>> [tuple(x.shape) for x in CIFARVGG(8)(torch.zeros(2, 3, 32, 32))]
        [(2, 512, 4, 4)]
    """

    def __init__(
        self,
        depth: int,
        out_indices: Sequence[int] = (4,),
        init_cfg: dict | list[dict] | None = KAIMING,
    ) -> None:
        if depth not in CONVS_PER_STAGE:
            raise ValueError(f'depth: expected one of {(*CONVS_PER_STAGE,)}, got {depth!r}')
        super().__init__(WIDTHS, out_indices, init_cfg)
        for index, (in_channels, width) in enumerate(zip((3, *WIDTHS), WIDTHS, strict=False)):
            self.add_module(f'block{index}', _convs(in_channels, width, CONVS_PER_STAGE[depth]))

    def stem(self, x: Tensor) -> Tensor:
        """Return the images."""
        return x

    def stage(self, index: int, x: Tensor) -> Tensor:
        """Run convolutions. The second to fourth stage pool their input first."""
        if 1 <= index <= 3:
            x = F.max_pool2d(x, 2)
        return F.relu(self.get_submodule(f'block{index}')(x))


def _convs(in_channels: int, out_channels: int, num_convs: int) -> nn.Sequential:
    layers: list[nn.Module] = []
    for _ in range(num_convs):
        conv = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        layers += [conv, nn.BatchNorm2d(out_channels), nn.ReLU()]
        in_channels = out_channels
    return nn.Sequential(*layers[:-1])
