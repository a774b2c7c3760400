"""DeiT III-Base (pre-trained on ImageNet-21k) teaches DeiT-Small on ImageNet."""

_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    '../classification_runtime.py',
]

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmpretrain::deit/deit-small_4xb256_in1k.py'),
    teacher=dict(
        cfg_path='mmpretrain::deit3/deit3-base-p16_64xb64_in1k.py',
        checkpoint='https://download.openmmlab.com/mmclassification/v0/deit3/'
        'deit3-base-p16_in21k-pre_3rdparty_in1k_20221009-87983ca1.pth',
    ),
)
train_dataloader = dict(
    batch_size=256,
    persistent_workers=False,
    worker_init_fn=dict(type='mmkd_epoch_worker_init'),
)
# As the student's own config.
optim_wrapper = dict(
    paramwise_cfg=dict(
        norm_decay_mult=0.0,
        bias_decay_mult=0.0,
        custom_keys={
            '.cls_token': dict(decay_mult=0.0),
            '.pos_embed': dict(decay_mult=0.0),
        },
    ),
    clip_grad=dict(max_norm=5.0),
)
