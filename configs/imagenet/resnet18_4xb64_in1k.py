"""ResNet-18 on ImageNet: the student alone."""

_base_ = ['mmpretrain::_base_/models/resnet18.py', '../_base_/in1k_4xb64.py']
