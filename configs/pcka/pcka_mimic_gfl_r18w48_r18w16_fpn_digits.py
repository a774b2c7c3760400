"""PCKA + mimic: GFL on a ResNet-18 of width 48 teaches one of width 16, on scenes of digits."""

_base_ = [
    '../_base_/pairs/gfl_r18w48_r18w16_digits.py',
    '../_base_/distillers/pcka_mimic_pyramid.py',
]

distiller = _base_.distiller
distiller.losses.pcka = dict(type='mmkd.PCKALoss', on='neck', patch_size=4, loss_weight=10.0)
distiller.losses.mimic.levels = (0, 1, 2)
model = dict(distiller=distiller)
