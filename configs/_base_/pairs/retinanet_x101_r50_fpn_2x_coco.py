"""RetinaNet X101-64x4d (AP 41.0) teaches RetinaNet R50 (AP 37.4)."""

_base_ = './retinanet_r101_r50_fpn_2x_coco.py'

model = dict(
    teacher=dict(
        cfg_path='mmdet::retinanet/retinanet_x101-64x4d_fpn_1x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
        'retinanet_x101_64x4d_fpn_1x_coco/retinanet_x101_64x4d_fpn_1x_coco_20200130-366f5af1.pth',
    ),
)
