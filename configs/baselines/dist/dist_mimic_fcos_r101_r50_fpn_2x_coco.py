"""DIST of class logits + mimic: FCOS R101 teaches FCOS R50 on COCO."""

_base_ = [
    '../../_base_/pairs/fcos_r101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/dist_mimic_dense.py',
]

distiller = _base_.distiller
distiller.recorders.logits.source = 'bbox_head.conv_cls'
model = dict(distiller=distiller)
