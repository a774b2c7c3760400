"""DLKD: ResNet-20 teaches ResNet-8 on CIFAR-100."""

_base_ = [
    '../_base_/cifar100_240e.py',
    '../_base_/pairs/resnet20_resnet8_cifar100.py',
    '../_base_/distillers/dlkd.py',
]

distiller = _base_.distiller
distiller.losses.dlkd_sup.update(candidates='other')
model = dict(distiller=distiller, views='rotations')
