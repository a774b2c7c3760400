"""VGG-8 on CIFAR-10: the student of the transfer from CIFAR-100, alone."""

_base_ = [
    '../_base_/models/cifar/vgg8.py',
    '../_base_/datasets/cifar10.py',
    '../_base_/schedules/cifar_240e.py',
    '../_base_/classification_runtime.py',
]

model = dict(head=dict(num_classes=10))
param_scheduler = dict(milestones=[80, 120, 150])
train_cfg = dict(max_epochs=160)
