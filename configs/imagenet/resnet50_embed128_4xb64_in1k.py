"""ResNet-50 with CCKD's embedding of 128 channels before the classifier: a teacher."""

_base_ = ['mmpretrain::_base_/models/resnet50.py', '../_base_/in1k_4xb64.py']

model = dict(
    neck=dict(
        _delete_=True,
        type='mmpretrain.LinearNeck',
        in_channels=2048,
        out_channels=128,
        gap_dim=2,
        norm_cfg=None,
    ),
    head=dict(in_channels=128),
)
