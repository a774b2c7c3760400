"""ResNet-110 for 32 x 32 images of 100 classes."""

_base_ = './resnet8.py'

model = dict(backbone=dict(depth=110))
