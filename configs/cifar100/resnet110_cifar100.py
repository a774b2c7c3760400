"""ResNet-110 on CIFAR-100: a teacher, or a student alone."""

_base_ = [
    '../_base_/models/cifar/resnet110.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar_240e.py',
    '../_base_/classification_runtime.py',
]
