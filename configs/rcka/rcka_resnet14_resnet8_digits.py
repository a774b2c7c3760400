"""RCKA: ResNet-14 teaches ResNet-8 on handwritten digits."""

_base_ = ['../_base_/pairs/resnet14_resnet8_digits.py', '../_base_/distillers/rcka.py']

# The published weights are too large for so few steps.
distiller = _base_.distiller
distiller.losses.rcka_features.loss_weight = 1.0
distiller.losses.rcka_logits.loss_weight = 1.0
model = dict(distiller=distiller)
