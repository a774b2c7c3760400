"""CCKD with 2 samples of each class in a batch (ablation)."""

_base_ = '../cckd_resnet32x4_resnet8x4_cifar100.py'

train_dataloader = dict(sampler=dict(num_per_class=2))
