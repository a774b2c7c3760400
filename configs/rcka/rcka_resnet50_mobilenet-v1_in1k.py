"""RCKA: ResNet-50 teaches MobileNetV1 on ImageNet."""

_base_ = [
    '../_base_/in1k_4xb64.py',
    '../_base_/pairs/resnet50_mobilenet-v1_in1k.py',
    '../_base_/distillers/rcka.py',
]

model = dict(distiller=_base_.distiller)
