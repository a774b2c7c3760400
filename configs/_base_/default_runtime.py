"""MMDetection's runtime with mmkd's hooks and atomic checkpoints."""

_base_ = ['mmdet::_base_/default_runtime.py', './safety_hooks.py']

default_hooks = dict(
    **_base_.safety_hooks,
    checkpoint=dict(_delete_=True, type='mmkd.AtomicCheckpointHook', interval=1, max_keep_ckpts=2),
)
# To log elsewhere, too, add dict(type='TensorboardVisBackend') or dict(type='WandbVisBackend').
vis_backends = [dict(type='LocalVisBackend')]
visualizer = dict(vis_backends=vis_backends)
