"""CWD: Cascade Mask R-CNN X101 teaches Faster R-CNN R50 on COCO."""

_base_ = [
    '../../_base_/pairs/cascade_mask_rcnn_x101_faster_rcnn_r50_fpn_2x_coco.py',
    '../../_base_/distillers/cwd_pyramid.py',
]

model = dict(distiller=_base_.distiller)
