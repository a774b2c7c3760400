"""CMKD and DKD together: ResNet-50 teaches MobileNetV1 on ImageNet."""

_base_ = [
    '../_base_/in1k_4xb128.py',
    '../_base_/pairs/resnet50_mobilenet-v1_in1k.py',
    '../_base_/distillers/cmkd_dkd.py',
]

distiller = _base_.distiller
distiller.losses.cmkd.update(tau=1.0)
model = dict(distiller=distiller)
