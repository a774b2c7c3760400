"""CIFAR-100 as CCKD trains it: 200 epochs, batches of 16 classes with 4 images each."""

_base_ = './cifar100_240e.py'

train_dataloader = dict(
    sampler=dict(_delete_=True, type='mmkd.CURSampler', batch_size=64, num_per_class=4)
)
optim_wrapper = dict(optimizer=dict(lr=0.1))
param_scheduler = dict(milestones=[80, 120, 160])
train_cfg = dict(max_epochs=200)
