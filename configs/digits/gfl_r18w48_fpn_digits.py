"""The teacher: the student's detector, three times as wide, trained on more scenes."""

_base_ = './gfl_r18w16_fpn_digits.py'

model = dict(backbone=dict(base_channels=48), neck=dict(in_channels=[96, 192, 384]))
# The student's 500 scenes and 700 more.
train_dataloader = dict(dataset=dict(num_images=1200))

max_epochs = 8
train_cfg = dict(max_epochs=max_epochs, val_interval=max_epochs)
# The student's schedule, shorter.
param_scheduler = _base_.param_scheduler
param_scheduler[1].update(end=max_epochs, T_max=max_epochs)
