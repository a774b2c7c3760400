"""Cascade Mask R-CNN X101-64x4d (box AP 45.6) teaches Mask R-CNN R50 (box AP 39.2)."""

_base_ = 'mask_rcnn_x101_r50_fpn_2x_coco.py'

model = dict(
    teacher=dict(
        cfg_path='mmdet::cascade_rcnn/cascade-mask-rcnn_x101-64x4d_fpn_20e_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/cascade_rcnn/'
        'cascade_mask_rcnn_x101_64x4d_fpn_20e_coco/'
        'cascade_mask_rcnn_x101_64x4d_fpn_20e_coco_20200512_161033-bdb5126a.pth',
    ),
)
