"""RTMDet-l (AP 51.3) teaches RTMDet-s (AP 44.5), with the student's own schedule and pipelines."""

_base_ = 'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'

model = dict(
    _delete_=True,
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py'),
    teacher=dict(
        cfg_path='mmdet::rtmdet/rtmdet_l_8xb32-300e_coco.py',
        checkpoint='https://download.openmmlab.com/mmdetection/v3.0/rtmdet/'
        'rtmdet_l_8xb32-300e_coco/rtmdet_l_8xb32-300e_coco_20220719_112030-5a0be7c4.pth',
    ),
)
train_dataloader = dict(
    persistent_workers=False, worker_init_fn=dict(type='mmkd_epoch_worker_init')
)
auto_scale_lr = dict(base_batch_size=256)
# As in ../safety_hooks.py, whose list `custom_hooks` RTMDet has, too.
custom_imports = dict(imports=['mmkd.registry'])
default_hooks = dict(
    data_check=dict(type='mmkd.DataCheckHook'),
    finite_loss=dict(type='mmkd.FiniteLossHook'),
    epoch_seed=dict(type='mmkd.EpochSeedHook'),
    checkpoint=dict(type='mmkd.AtomicCheckpointHook'),
)
