"""PCKA as released: RepPoints X101 teaches RepPoints R50 on COCO."""

_base_ = [
    '../_base_/pairs/reppoints_x101_r50_fpn_2x_coco.py',
    '../_base_/distillers/pcka_pyramid.py',
]

distiller = _base_.distiller
distiller.losses.pcka.update(min_patches=1)
model = dict(distiller=distiller)
