"""Cascade Mask R-CNN X101-64x4d (AP 45.6) teaches Faster R-CNN R50 (AP 38.4)."""

_base_ = '../coco_2x.py'

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmdet::faster_rcnn/faster-rcnn_r50_fpn_2x_coco.py'),
    teacher=dict(
        cfg_path='mmdet::cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/cascade_rcnn/'
        'cascade_mask_rcnn_x101_64x4d_fpn_20e_coco/'
        'cascade_mask_rcnn_x101_64x4d_fpn_20e_coco_20200512_161033-bdb5126a.pth',
        backbone=dict(init_cfg=None),
    ),
)
