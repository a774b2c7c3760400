"""ImageNet as FKD trains it: 90 epochs, learning rate 0.1 divided by 10 at 30 and 60."""

_base_ = './in1k_4xb64.py'

param_scheduler = dict(milestones=[30, 60])
train_cfg = dict(max_epochs=90)
