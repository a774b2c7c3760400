"""Hooks of every run: checks of the data and of the losses, and new random numbers each epoch."""

# OpenMMLab's own tools need this import to find mmkd's classes; mmkd's tools do not.
custom_imports = dict(imports=['mmkd.registry'])
custom_hooks = [
    dict(type='mmkd.DataCheckHook'),
    dict(type='mmkd.FiniteLossHook'),
    dict(type='mmkd.EpochSeedHook'),
]
