"""DLKD as released: ResNet-50 teaches VGG-8 on CIFAR-100."""

_base_ = [
    '../_base_/cifar100_240e.py',
    '../_base_/pairs/resnet50_vgg8_cifar100.py',
    '../_base_/distillers/dlkd.py',
]

distiller = _base_.distiller
distiller.losses.dlkd_align.update(loss_weight=20.0)
distiller.losses.dlkd_corr.update(loss_weight=50.0)
distiller.losses.dlkd_sup.update(loss_weight=1.0)
model = dict(distiller=distiller, views='rotations')
