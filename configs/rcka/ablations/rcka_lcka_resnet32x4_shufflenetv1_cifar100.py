"""LCKA alone: ResNet-32x4 teaches ShuffleNetV1 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_rcka.py',
    '../../_base_/pairs/resnet32x4_shufflenetv1_cifar100.py',
    '../../_base_/distillers/rcka.py',
]

distiller = _base_.distiller
del distiller.losses.rcka_features
model = dict(distiller=distiller)
