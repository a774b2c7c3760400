"""DIST: ResNet-32x4 teaches ShuffleNetV1 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e_lr0.01.py',
    '../../_base_/pairs/resnet32x4_shufflenetv1_cifar100.py',
    '../../_base_/distillers/dist.py',
]

model = dict(distiller=_base_.distiller)
