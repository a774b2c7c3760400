_base_ = 'mmpretrain::_base_/default_runtime.py'

# MMPretrain's own tools find mmkd's classes by this; mmkd's tools do not need it.
custom_imports = dict(imports=['mmkd.registry'])

default_hooks = dict(
    checkpoint=dict(_delete_=True, type='mmkd.AtomicCheckpointHook', interval=1, max_keep_ckpts=2)
)
custom_hooks = [
    dict(type='mmkd.DataCheckHook'),
    dict(type='mmkd.FiniteLossHook'),
    dict(type='mmkd.EpochSeedHook'),
]
