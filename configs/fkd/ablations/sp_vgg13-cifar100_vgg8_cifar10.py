"""SP: VGG-13 trained on CIFAR-100 teaches VGG-8 on CIFAR-10."""

_base_ = ['../../_base_/pairs/vgg13-cifar100_vgg8_cifar10.py', '../../_base_/distillers/sp.py']

model = dict(distiller=_base_.distiller)
