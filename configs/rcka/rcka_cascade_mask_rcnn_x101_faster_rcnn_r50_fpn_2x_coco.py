"""RCKA of instances: Cascade Mask R-CNN X101 teaches Faster R-CNN R50 on COCO."""

_base_ = [
    '../_base_/pairs/cascade_mask_rcnn_x101_faster_rcnn_r50_fpn_2x_coco.py',
    '../_base_/distillers/rcka_instances.py',
]

distiller = _base_.distiller
# RoI heads pool from levels P2 to P5.
distiller.recorders.instances.num_levels = 4
model = dict(distiller=distiller)
