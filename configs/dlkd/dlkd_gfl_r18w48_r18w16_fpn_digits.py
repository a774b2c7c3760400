"""DLKD of instances: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = [
    '../_base_/pairs/gfl_r18w48_r18w16_digits.py',
    '../_base_/distillers/dlkd_instances.py',
]

distiller = _base_.distiller
distiller.connectors.views.strides = (8, 16, 32)
distiller.connectors.align[0].strides = (8, 16, 32)
distiller.connectors.align[1].update(in_channels=64, out_channels=64)
distiller.connectors.correlate[0].strides = (8, 16, 32)
distiller.connectors.correlate[1].update(in_channels=64, out_channels=64)
distiller.connectors.sup_student[0].strides = (8, 16, 32)
distiller.connectors.sup_student[1].in_channels = 64
distiller.connectors.sup_teacher[0].strides = (8, 16, 32)
distiller.connectors.sup_teacher[1].in_channels = 64
model = dict(distiller=distiller)
