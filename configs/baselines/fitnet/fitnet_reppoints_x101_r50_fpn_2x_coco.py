"""FitNet: RepPoints X101 teaches RepPoints R50 on COCO."""

_base_ = [
    '../../_base_/pairs/reppoints_x101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/fitnet_pyramid.py',
]

model = dict(distiller=_base_.distiller)
