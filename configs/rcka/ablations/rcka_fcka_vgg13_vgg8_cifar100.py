"""FCKA alone: VGG-13 teaches VGG-8 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_rcka.py',
    '../../_base_/pairs/vgg13_vgg8_cifar100.py',
    '../../_base_/distillers/rcka.py',
]

distiller = _base_.distiller
del distiller.losses.rcka_logits
model = dict(distiller=distiller)
