"""RepPoints X101-32x4d with deformable convolutions (AP 44.2) teaches RepPoints R50 (AP 38.6)."""

_base_ = '../coco_2x.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmdet::reppoints/reppoints-moment_r50_fpn-gn_head-gn_2x_coco.py'),
    teacher=dict(
        cfg_path='mmdet::reppoints/reppoints-moment_x101-dconv-c3-c5_fpn-gn_head-gn_2x_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v2.0/reppoints/'
        'reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco/'
        'reppoints_moment_x101_fpn_dconv_c3-c5_gn-neck%2Bhead_2x_coco_20200329-f87da1ea.pth',
        backbone=dict(init_cfg=None),
    ),
)
