"""DIST: ResNet-110 teaches ResNet-20 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e.py',
    '../../_base_/pairs/resnet110_resnet20_cifar100.py',
    '../../_base_/distillers/dist.py',
]

model = dict(distiller=_base_.distiller)
