"""CCKD with uniform random batches (ablation)."""

_base_ = '../cckd_resnet32x4_resnet8x4_cifar100.py'

train_dataloader = dict(sampler=dict(_delete_=True, type='DefaultSampler', shuffle=True))
