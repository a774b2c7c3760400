"""DIST: WRN-40-2 teaches ShuffleNetV1 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e_lr0.01.py',
    '../../_base_/pairs/wrn40_2_shufflenetv1_cifar100.py',
    '../../_base_/distillers/dist.py',
]

model = dict(distiller=_base_.distiller)
