"""RKD: VGG-13 trained on CIFAR-100 teaches VGG-8 on Tiny-ImageNet."""

_base_ = [
    '../../_base_/pairs/vgg13-cifar100_vgg8_tiny-imagenet.py',
    '../../_base_/distillers/rkd.py',
]

model = dict(distiller=_base_.distiller)
