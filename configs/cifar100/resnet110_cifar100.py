"""ResNet-110 on CIFAR-100: a teacher, or a student alone."""

_base_ = ['../_base_/models/cifar/resnet110.py', '../_base_/cifar100_240e.py']
