"""PCKA with a different average at each of three levels: RetinaNet X101 teaches RetinaNet R50."""

_base_ = '../pcka_retinanet_x101_r50_fpn_2x_coco.py'

model = dict(
    distiller=dict(
        losses=dict(pcka=dict(levels=(0, 1, 2), average=('batch', 'spatial', 'channel')))
    )
)
