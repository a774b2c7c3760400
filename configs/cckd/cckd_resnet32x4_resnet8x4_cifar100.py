"""CCKD: ResNet-32x4 teaches ResNet-8x4 on CIFAR-100."""

_base_ = [
    '../_base_/cifar100_cckd.py',
    '../_base_/pairs/resnet32x4_resnet8x4_cifar100.py',
    '../_base_/distillers/cckd.py',
]

# As published: no cross entropy (alpha = 0), and a weight of 0.003 for the correlation.
model = dict(architecture=dict(head=dict(loss=dict(loss_weight=0.0))), distiller=_base_.distiller)
