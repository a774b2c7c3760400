"""VGG-13 for 32 x 32 images of 100 classes."""

_base_ = './vgg8.py'

model = dict(backbone=dict(depth=13))
