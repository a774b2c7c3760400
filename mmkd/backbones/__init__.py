"""The networks of the CIFAR distillation benchmark, and MobileNetV1, which MMPretrain lacks."""

from mmkd.backbones.cifar_mobilenet_v2 import CIFARMobileNetV2
from mmkd.backbones.cifar_resnet import CIFARResNet, CIFARResNet50
from mmkd.backbones.cifar_shufflenet import CIFARShuffleNetV1, CIFARShuffleNetV2
from mmkd.backbones.cifar_vgg import CIFARVGG
from mmkd.backbones.cifar_wide_resnet import CIFARWideResNet
from mmkd.backbones.mobilenet_v1 import MobileNetV1

__all__ = [
    'CIFARVGG',
    'CIFARMobileNetV2',
    'CIFARResNet',
    'CIFARResNet50',
    'CIFARShuffleNetV1',
    'CIFARShuffleNetV2',
    'CIFARWideResNet',
    'MobileNetV1',
]
