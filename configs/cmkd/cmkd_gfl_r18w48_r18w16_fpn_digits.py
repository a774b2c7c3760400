"""CMKD of logits: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = ['../_base_/pairs/gfl_r18w48_r18w16_digits.py', '../_base_/distillers/cmkd_dense.py']

distiller = _base_.distiller
distiller.recorders.logits.source = 'bbox_head.gfl_cls'
model = dict(distiller=distiller)
