"""DIST of class logits: RetinaNet R101 teaches RetinaNet R50 on COCO."""

_base_ = [
    '../../_base_/pairs/retinanet_r101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/dist_dense.py',
]

model = dict(distiller=_base_.distiller)
