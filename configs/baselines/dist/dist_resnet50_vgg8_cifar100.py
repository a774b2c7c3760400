"""DIST: ResNet-50 teaches VGG-8 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e.py',
    '../../_base_/pairs/resnet50_vgg8_cifar100.py',
    '../../_base_/distillers/dist.py',
]

model = dict(distiller=_base_.distiller)
