"""FKD without regularization: VGG-13 trained on CIFAR-100 teaches VGG-8 on STL-10."""

_base_ = '../fkd_vgg13-cifar100_vgg8_stl10.py'

model = dict(distiller=dict(losses=dict(fkd=dict(regularization_weight=0.0))))
