"""ShuffleNetV2 on CIFAR-100: a teacher, or a student alone."""

_base_ = [
    '../_base_/models/cifar/shufflenetv2.py',
    '../_base_/datasets/cifar100.py',
    '../_base_/schedules/cifar_240e.py',
    '../_base_/classification_runtime.py',
]

optim_wrapper = dict(optimizer=dict(lr=0.01))
