"""PCKA: ResNet-110 teaches ResNet-20 on CIFAR-100."""

_base_ = [
    '../_base_/cifar100_rcka.py',
    '../_base_/pairs/resnet110_resnet20_cifar100.py',
    '../_base_/distillers/pcka_classifier.py',
]

model = dict(distiller=_base_.distiller)
