"""PCKA: GFL on a ResNet-18 of width 48 teaches one of width 16, on scenes of digits."""

_base_ = ['../_base_/pairs/gfl_r18w48_r18w16_digits.py', '../_base_/distillers/pcka_pyramid.py']

distiller = _base_.distiller
# Levels of 20, 10 and 5 cells: smaller patches than on COCO. Centered, as CKA is defined.
distiller.losses.pcka = dict(type='mmkd.PCKALoss', on='neck', patch_size=4, loss_weight=10.0)
model = dict(distiller=distiller)
