"""The student: the teacher's detector on a backbone of a third of its width."""

_base_ = './gfl_r18w48_fpn_digits.py'

model = dict(backbone=dict(base_channels=16), neck=dict(in_channels=[32, 64, 128]))
