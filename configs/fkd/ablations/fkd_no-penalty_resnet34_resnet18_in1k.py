"""FKD without regularization: ResNet-34 teaches ResNet-18 on ImageNet."""

_base_ = [
    '../../_base_/in1k_90e.py',
    '../../_base_/pairs/resnet34_resnet18_in1k.py',
    '../../_base_/distillers/fkd.py',
]

distiller = _base_.distiller
distiller.losses.fkd.update(regularization_weight=0.0)
model = dict(distiller=distiller)
