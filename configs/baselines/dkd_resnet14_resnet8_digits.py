"""DKD: ResNet-14 teaches ResNet-8 on handwritten digits."""

_base_ = [
    '../_base_/pairs/resnet14_resnet8_digits.py',
    '../_base_/distillers/dkd.py',
]

# The published weights are for two hundred times as many steps.
distiller = _base_.distiller
distiller.distill_losses.loss_dkd.beta = 1.0
model = dict(distiller=distiller)
