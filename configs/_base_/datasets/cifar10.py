"""CIFAR-10 in memory, with random flips and crops (4 pixels of padding)."""

_base_ = './cifar100.py'

data_preprocessor = dict(num_classes=10, mean=[125.3, 123.0, 113.9], std=[63.0, 62.1, 66.7])
train_dataloader = dict(dataset=dict(type='mmkd.CIFAR10Dataset', root='data/cifar10'))
val_dataloader = dict(dataset=dict(type='mmkd.CIFAR10Dataset', root='data/cifar10'))
test_dataloader = val_dataloader
