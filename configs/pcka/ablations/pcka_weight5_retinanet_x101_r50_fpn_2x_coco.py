"""PCKA with a loss weight of 5: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = '../pcka_retinanet_x101_r50_fpn_2x_coco.py'

model = dict(distiller=dict(losses=dict(pcka=dict(loss_weight=5.0))))
