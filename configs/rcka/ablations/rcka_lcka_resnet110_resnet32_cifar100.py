"""LCKA alone: ResNet-110 teaches ResNet-32 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_rcka.py',
    '../../_base_/pairs/resnet110_resnet32_cifar100.py',
    '../../_base_/distillers/rcka.py',
]

distiller = _base_.distiller
del distiller.losses.rcka_features
model = dict(distiller=distiller)
