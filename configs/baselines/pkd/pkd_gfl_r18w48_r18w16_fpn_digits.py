"""PKD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../../_base_/pairs/gfl_r18w48_r18w16_digits.py'

model = dict(distiller=dict(losses=dict(pkd=dict(type='PKDLoss', on='neck', loss_weight=10))))
