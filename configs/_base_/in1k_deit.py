"""DeiT's own data and schedule on ImageNet, on 4 GPUs."""

_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64_swin_224.py',
    'mmpretrain::_base_/schedules/imagenet_bs1024_adamw_swin.py',
    './classification_runtime.py',
]

train_dataloader = dict(
    batch_size=256,
    persistent_workers=False,
    worker_init_fn=dict(type='mmkd_epoch_worker_init'),
)
# As in the students' own configs.
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
