"""CCKD of instances: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = [
    '../_base_/pairs/gfl_r18w48_r18w16_digits.py',
    '../_base_/distillers/cckd_instances.py',
]

distiller = _base_.distiller
distiller.connectors.embed_student[0].strides = (8, 16, 32)
distiller.connectors.embed_student[1].in_channels = 64
distiller.connectors.embed_teacher[0].strides = (8, 16, 32)
distiller.connectors.embed_teacher[1].in_channels = 64
model = dict(distiller=distiller)
