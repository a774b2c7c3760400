"""CCKD: ResNet-110 teaches ResNet-20 on CIFAR-100, both with an embedding of 128 channels."""

_base_ = [
    '../_base_/cifar100_cckd.py',
    '../_base_/pairs/resnet110_resnet20_cifar100.py',
    '../_base_/distillers/cckd_embedding.py',
]

# As published: no cross entropy (alpha = 0), and a weight of 0.003 for the correlation.
model = dict(
    architecture=dict(
        cfg_path='mmkd::cifar100/resnet20_embed128_cifar100.py',
        head=dict(loss=dict(loss_weight=0.0)),
    ),
    teacher=dict(
        cfg_path='mmkd::cifar100/resnet110_embed128_cifar100.py',
        checkpoint='checkpoints/resnet110_embed128_cifar100.pth',
    ),
    distiller=_base_.distiller,
)
