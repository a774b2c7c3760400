"""CCKD with 20 samples of each superclass in a batch of 60 (ablation)."""

_base_ = './cckd_sur_resnet32x4_resnet8x4_cifar100.py'

train_dataloader = dict(batch_size=60, sampler=dict(batch_size=60, num_per_class=20))
auto_scale_lr = dict(base_batch_size=60)
