"""DIST: WRN-40-2 teaches ResNet-8x4 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e.py',
    '../../_base_/pairs/wrn40_2_resnet8x4_cifar100.py',
    '../../_base_/distillers/dist.py',
]

model = dict(distiller=_base_.distiller)
