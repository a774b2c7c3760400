"""CCKD with embeddings beside the networks: ResNet-110 teaches ResNet-14 on CIFAR-100."""

_base_ = [
    '../../_base_/cifar100_cckd.py',
    '../../_base_/pairs/resnet110_resnet14_cifar100.py',
    '../../_base_/distillers/cckd.py',
]

# As published: no cross entropy (alpha = 0), and a weight of 0.003 for the correlation.
model = dict(architecture=dict(head=dict(loss=dict(loss_weight=0.0))), distiller=_base_.distiller)
