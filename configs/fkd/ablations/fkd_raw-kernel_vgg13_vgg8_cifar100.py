"""FKD with the kernel of eq. 3: VGG-13 teaches VGG-8 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e.py',
    '../../_base_/pairs/vgg13_vgg8_cifar100.py',
    '../../_base_/distillers/fkd.py',
]

distiller = _base_.distiller
distiller.losses.fkd.update(normalize=False, kernel_weight=0.01)
model = dict(distiller=distiller)
