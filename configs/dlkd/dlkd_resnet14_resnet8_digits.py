"""DLKD: ResNet-14 teaches ResNet-8 on handwritten digits."""

_base_ = ['../_base_/pairs/resnet14_resnet8_digits.py', '../_base_/distillers/dlkd.py']

distiller = _base_.distiller
# As measured: candidates from the other network.
distiller.losses.dlkd_sup.update(candidates='other')
model = dict(distiller=distiller, views='rotations')
