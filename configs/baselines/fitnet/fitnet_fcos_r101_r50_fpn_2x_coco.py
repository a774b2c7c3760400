"""FitNet: FCOS R101 teaches FCOS R50 on COCO."""

_base_ = [
    '../../_base_/pairs/fcos_r101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/fitnet_pyramid.py',
]

model = dict(distiller=_base_.distiller)
