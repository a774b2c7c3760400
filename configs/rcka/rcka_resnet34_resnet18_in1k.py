"""RCKA: ResNet-34 teaches ResNet-18 on ImageNet."""

_base_ = [
    '../_base_/in1k_4xb64.py',
    '../_base_/pairs/resnet34_resnet18_in1k.py',
    '../_base_/distillers/rcka.py',
]

model = dict(distiller=_base_.distiller)
