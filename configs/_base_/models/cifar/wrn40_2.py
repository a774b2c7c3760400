"""WRN-40-2 for 32 x 32 images of 100 classes."""

_base_ = './wrn16_2.py'

model = dict(backbone=dict(depth=40))
