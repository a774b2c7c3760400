"""DIST of class logits + mimic: RepPoints X101 teaches RepPoints R50 on COCO."""

_base_ = [
    '../../_base_/pairs/reppoints_x101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/dist_mimic_dense.py',
]

distiller = _base_.distiller
distiller.recorders.logits.source = 'bbox_head.reppoints_cls_out'
model = dict(distiller=distiller)
