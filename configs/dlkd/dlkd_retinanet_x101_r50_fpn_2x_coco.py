"""DLKD of instances: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = [
    '../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py',
    '../_base_/distillers/dlkd_instances.py',
]

model = dict(distiller=_base_.distiller)
