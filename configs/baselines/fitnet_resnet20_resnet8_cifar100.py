"""FitNet: ResNet-20 teaches ResNet-8 on CIFAR-100."""

_base_ = [
    '../_base_/pairs/resnet20_resnet8_cifar100.py',
    '../_base_/distillers/fitnet.py',
]

distiller = _base_.distiller
distiller.connectors.hint.update(
    in_channels=_base_.student_channels, out_channels=_base_.teacher_channels
)
model = dict(distiller=distiller)
