"""Hooks of every run: checks of the data and of the losses, and new random numbers each epoch.

They belong into the dict `default_hooks`: a child config's list `custom_hooks` cannot drop them.
"""

# OpenMMLab's own tools need this import to find mmkd's classes; mmkd's tools do not.
custom_imports = dict(imports=['mmkd.registry'])
safety_hooks = dict(
    data_check=dict(type='mmkd.DataCheckHook'),
    finite_loss=dict(type='mmkd.FiniteLossHook'),
    epoch_seed=dict(type='mmkd.EpochSeedHook'),
    missed_evaluation=dict(type='mmkd.MissedEvaluationHook'),
)
custom_hooks = []  # for children that extend it
