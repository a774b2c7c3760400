"""Faster R-CNN R101 (AP 39.8) teaches a RetinaNet R18 whose pyramid is narrower and coarser.

Levels of the teacher: strides 4 to 64, 256 channels; of the student: strides 8 to 128, 128.
"""

_base_ = '../coco_2x.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(
        cfg_path='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
        neck=dict(out_channels=128),
        bbox_head=dict(in_channels=128),
    ),
    teacher=dict(
        cfg_path='mmdet::faster_rcnn/faster-rcnn_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/faster_rcnn/'
        'faster_rcnn_r101_fpn_2x_coco/'
        'faster_rcnn_r101_fpn_2x_coco_bbox_mAP-0.398_20200504_210455-1d2dac9c.pth',
        backbone=dict(init_cfg=None),
    ),
)
