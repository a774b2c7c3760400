"""DLKD as released: ResNet-50 teaches MobileNetV2 (half) on CIFAR-100."""

_base_ = [
    '../_base_/cifar100_240e_lr0.01.py',
    '../_base_/pairs/resnet50_mobilenetv2_half_cifar100.py',
    '../_base_/distillers/dlkd.py',
]

distiller = _base_.distiller
distiller.losses.dlkd_align.update(loss_weight=20.0)
distiller.losses.dlkd_corr.update(loss_weight=50.0)
distiller.losses.dlkd_sup.update(loss_weight=1.0)
model = dict(distiller=distiller, views='rotations')
