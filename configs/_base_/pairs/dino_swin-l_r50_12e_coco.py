"""DINO Swin-L, 5 scales (AP 58.4), teaches DINO R50, 4 scales (AP 49.0), on its own schedule.

Teacher: strides 4 to 64. Student: strides 8 to 64.
"""

_base_ = ['mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py', '../safety_hooks.py']

model = dict(
    _delete_=True,
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py'),
    teacher=dict(
        cfg_path='mmdet::dino/dino-5scale_swin-l_8xb2-36e_coco.py',
        checkpoint='https://github.com/RistoranteRist/mmlab-weights/releases/download/dino-swinl/'
        'dino-5scale_swin-l_8xb2-36e_coco-5486e051.pth',
        backbone=dict(init_cfg=None),
    ),
)
train_dataloader = dict(
    persistent_workers=False, worker_init_fn=dict(type='mmkd_epoch_worker_init')
)
default_hooks = dict(
    **_base_.safety_hooks,
    checkpoint=dict(type='mmkd.AtomicCheckpointHook', max_keep_ckpts=2),
)
