"""Faster R-CNN R101 (AP 39.8) teaches a RetinaNet R18 whose pyramid is narrower and coarser.

Teacher: strides 4 to 64, 256 channels. Student: strides 8 to 128, 128 channels.
"""

_base_ = './faster_rcnn_r101_r50_fpn_2x_coco.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))

model = dict(
    architecture=dict(
        cfg_path='mmdet::retinanet/retinanet_r18_fpn_1x_coco.py',
        neck=dict(out_channels=128),
        bbox_head=dict(in_channels=128),
    ),
)
