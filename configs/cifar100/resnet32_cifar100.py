"""ResNet-32 on CIFAR-100: a teacher, or a student alone."""

_base_ = ['../_base_/models/cifar/resnet32.py', '../_base_/cifar100_240e.py']
