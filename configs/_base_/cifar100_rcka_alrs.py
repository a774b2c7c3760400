"""CIFAR-100 as RCKA trains it, with the paper's learning rate: it falls when the loss stalls."""

_base_ = './cifar100_rcka.py'

param_scheduler = dict(_delete_=True, type='mmkd.ALRS', factor=0.97)
