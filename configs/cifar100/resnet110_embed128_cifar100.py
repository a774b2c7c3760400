"""ResNet-110 with an embedding of 128 channels before the classifier, as in CCKD."""

_base_ = './resnet110_cifar100.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmpretrain.LinearNeck',
        in_channels=64,
        out_channels=128,
        gap_dim=2,
        norm_cfg=None,
    ),
    head=dict(in_channels=128),
)
