"""PCKA as released: FCOS R101 teaches FCOS R50 on COCO."""

_base_ = ['../_base_/pairs/fcos_r101_r50_fpn_2x_coco.py', '../_base_/distillers/pcka_pyramid.py']

distiller = _base_.distiller
distiller.losses.pcka.update(min_patches=1)
model = dict(distiller=distiller)
