"""PCKA as released: Faster R-CNN R101 teaches Faster R-CNN R50 on COCO."""

_base_ = [
    '../_base_/pairs/faster_rcnn_r101_r50_fpn_2x_coco.py',
    '../_base_/distillers/pcka_pyramid.py',
]

distiller = _base_.distiller
distiller.losses.pcka.update(min_patches=1, inter_weight=1.0)
model = dict(distiller=distiller)
