"""CCKD with correlation by the exact RBF kernel (ablation)."""

_base_ = '../cckd_resnet32x4_resnet8x4_cifar100.py'

model = dict(distiller=dict(losses=dict(cckd=dict(order=None))))
