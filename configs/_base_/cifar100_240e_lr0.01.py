"""CIFAR-100 for MobileNetV2 and ShuffleNet: the common schedule at a learning rate of 0.01."""

_base_ = './cifar100_240e.py'

optim_wrapper = dict(optimizer=dict(lr=0.01))
