"""Align with a hidden layer of 32 widths: ResNet-32x4 teaches ShuffleNetV2 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e.py',
    '../../_base_/pairs/resnet32x4_shufflenetv2_cifar100.py',
    '../../_base_/distillers/dlkd.py',
]

distiller = _base_.distiller
distiller.losses.dlkd_align.student_connector.update(expansion=32)
del distiller.losses.dlkd_corr
del distiller.losses.dlkd_sup
model = dict(distiller=distiller, views='rotations')
