"""ShuffleNetV2 on CIFAR-100: a teacher, or a student alone."""

_base_ = ['../_base_/models/cifar/shufflenetv2.py', '../_base_/cifar100_240e_lr0.01.py']
