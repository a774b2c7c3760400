"""CCKD with larger weights, so the correlation matters: cross entropy 1, correlation 1."""

_base_ = '../cckd_resnet32x4_resnet8x4_cifar100.py'

model = dict(
    architecture=dict(head=dict(loss=dict(loss_weight=1.0))),
    distiller=dict(losses=dict(cckd=dict(loss_weight=1.0))),
)
