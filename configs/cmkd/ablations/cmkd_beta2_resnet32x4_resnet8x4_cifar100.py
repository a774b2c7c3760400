"""CMKD with beta 2: ResNet-32x4 teaches ResNet-8x4 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_240e.py',
    '../../_base_/pairs/resnet32x4_resnet8x4_cifar100.py',
    '../../_base_/distillers/cmkd.py',
]

distiller = _base_.distiller
distiller.losses.cmkd.update(primary_weight=2.0)
model = dict(distiller=distiller)
