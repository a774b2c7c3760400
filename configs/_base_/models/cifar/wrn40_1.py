"""WRN-40-1 for 32 x 32 images of 100 classes."""

_base_ = './wrn16_2.py'

model = dict(backbone=dict(depth=40, widen_factor=1), head=dict(in_channels=64))
