"""DLKD: ResNet-50 teaches MobileNetV2 (half) on CIFAR-100."""

_base_ = [
    '../_base_/pairs/resnet50_mobilenetv2_half_cifar100.py',
    '../_base_/distillers/dlkd.py',
]

distiller = _base_.distiller
distiller.connectors.align.update(
    in_channels=_base_.student_channels, out_channels=_base_.teacher_channels
)
distiller.connectors.correlate.update(
    in_channels=_base_.student_channels, out_channels=_base_.student_channels
)
distiller.connectors.sup_student.in_channels = _base_.student_channels
distiller.connectors.sup_teacher.in_channels = _base_.teacher_channels
model = dict(distiller=distiller, views='rotations')
