"""RCKA and ViTKD: DeiT III-S teaches DeiT-Ti on ImageNet."""

_base_ = ['../_base_/pairs/deit3-small_deit-tiny_in1k.py', '../_base_/distillers/rcka_vitkd.py']

model = dict(distiller=_base_.distiller)
