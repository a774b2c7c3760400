"""GFL R101 (AP 44.7) teaches GFL R50 (AP 40.2 after 12 epochs)."""

_base_ = '../coco_2x.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmdet::gfl/gfl_r50_fpn_1x_coco.py'),
    teacher=dict(
        cfg_path='mmdet::gfl/gfl_r101_fpn_ms-2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/gfl/'
        'gfl_r101_fpn_mstrain_2x_coco/gfl_r101_fpn_mstrain_2x_coco_20200629_200126-dd12f847.pth',
        backbone=dict(init_cfg=None),
    ),
)
