"""FitNet: GFL R101 teaches GFL R50 on COCO."""

_base_ = [
    '../../_base_/pairs/gfl_r101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/fitnet_pyramid.py',
]

model = dict(distiller=_base_.distiller)
