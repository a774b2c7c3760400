"""ResNet-32x4 for 32 x 32 images of 100 classes."""

_base_ = './resnet8x4.py'

model = dict(backbone=dict(depth=32))
