"""RKD: ResNet-14 teaches ResNet-8 on handwritten digits."""

_base_ = ['../../_base_/pairs/resnet14_resnet8_digits.py', '../../_base_/distillers/rkd.py']

model = dict(distiller=_base_.distiller)
