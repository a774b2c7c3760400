"""DIST: ResNet-50 teaches MobileNetV2 (half) on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e_lr0.01.py',
    '../../_base_/pairs/resnet50_mobilenetv2_half_cifar100.py',
    '../../_base_/distillers/dist.py',
]

model = dict(distiller=_base_.distiller)
