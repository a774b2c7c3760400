"""CIFAR-100 as RCKA trains it: batches of 128, learning rate 0.1, 240 epochs."""

_base_ = './cifar100_240e.py'

train_dataloader = dict(batch_size=128)
optim_wrapper = dict(optimizer=dict(lr=0.1))
auto_scale_lr = dict(base_batch_size=128)
