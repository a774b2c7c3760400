"""RetinaNet R101 (AP 38.9) teaches RetinaNet R50 (AP 37.4)."""

_base_ = '../coco_2x.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmdet::retinanet/retinanet_r50_fpn_2x_coco.py'),
    teacher=dict(
        cfg_path='mmdet::retinanet/retinanet_r101_fpn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/retinanet/'
        'retinanet_r101_fpn_2x_coco/retinanet_r101_fpn_2x_coco_20200131-5560aee8.pth',
        backbone=dict(init_cfg=None),
    ),
)
