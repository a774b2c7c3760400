"""The teacher: ResNet-14, on all 1198 training digits."""

_base_ = './resnet8_digits.py'

model = dict(backbone=dict(depth=14, widths=(16, 16, 32, 64)), head=dict(in_channels=64))
train_dataloader = dict(batch_size=64, dataset=dict(num_samples=None))

max_epochs = 16
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
# The student's schedule, shorter.
param_scheduler = _base_.param_scheduler
param_scheduler[0].end = param_scheduler[1].begin = max_epochs // 8
param_scheduler[1].update(end=max_epochs, T_max=max_epochs - max_epochs // 8)
default_hooks = dict(checkpoint=dict(interval=max_epochs))
