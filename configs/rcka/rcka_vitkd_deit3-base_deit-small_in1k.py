"""RCKA and ViTKD: DeiT III-B teaches DeiT-S on ImageNet."""

_base_ = ['../_base_/pairs/deit3-base_deit-small_in1k.py', '../_base_/distillers/rcka_vitkd.py']

model = dict(distiller=_base_.distiller)
