"""FKD: ResNet-14 teaches ResNet-8 on handwritten digits."""

_base_ = ['../_base_/pairs/resnet14_resnet8_digits.py', '../_base_/distillers/fkd.py']

# The published weights are too large for so few steps.
distiller = _base_.distiller
distiller.losses.fkd.update(kernel_weight=30.0, regularization_weight=0.0)
model = dict(distiller=distiller)
