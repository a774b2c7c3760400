"""PCKA with a different average at each level: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = '../pcka_retinanet_x101_r50_fpn_2x_coco.py'

model = dict(
    distiller=dict(losses=dict(pcka=dict(average=('batch', 'spatial', 'channel', 'channel'))))
)
