"""FKD of instances: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = ['../_base_/pairs/gfl_r18w48_r18w16_digits.py', '../_base_/distillers/fkd_instances.py']

model = dict(distiller=_base_.distiller)
