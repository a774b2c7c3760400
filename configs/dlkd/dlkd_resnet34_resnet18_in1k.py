"""DLKD: ResNet-34 teaches ResNet-18 on ImageNet."""

_base_ = [
    '../_base_/pairs/resnet34_resnet18_in1k.py',
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
