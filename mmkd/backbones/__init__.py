"""The networks of the field's CIFAR benchmark, under the names of its public checkpoints.

And MobileNetV1, the student of its ImageNet pairs, which MMPretrain lacks.
"""

from mmkd.backbones.cifar_mobilenet_v2 import CIFARMobileNetV2
from mmkd.backbones.cifar_resnet import CIFARResNet
from mmkd.backbones.cifar_resnet50 import CIFARResNet50
from mmkd.backbones.cifar_shufflenet_v1 import CIFARShuffleNetV1
from mmkd.backbones.cifar_shufflenet_v2 import CIFARShuffleNetV2
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
