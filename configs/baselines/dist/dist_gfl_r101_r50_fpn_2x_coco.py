"""DIST of class logits: GFL R101 teaches GFL R50 on COCO."""

_base_ = ['../../_base_/pairs/gfl_r101_r50_fpn_2x_coco.py', '../../_base_/distillers/dist_dense.py']

distiller = _base_.distiller
distiller.recorders.logits.source = 'bbox_head.gfl_cls'
model = dict(distiller=distiller)
