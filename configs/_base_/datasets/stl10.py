"""STL-10 at 32 x 32, in memory, with random flips and crops (4 pixels of padding)."""

_base_ = './cifar100.py'

data_preprocessor = dict(num_classes=10, mean=[113.9, 112.3, 103.7], std=[66.4, 65.4, 69.2])
train_dataloader = dict(dataset=dict(type='mmkd.STL10Dataset', root='data/stl10'))
val_dataloader = dict(dataset=dict(type='mmkd.STL10Dataset', root='data/stl10'))
test_dataloader = val_dataloader
