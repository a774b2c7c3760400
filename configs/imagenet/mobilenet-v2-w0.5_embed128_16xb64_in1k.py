"""MobileNetV2 of half width with CCKD's embedding of 128 channels before the classifier."""

_base_ = './mobilenet-v2-w0.5_16xb64_in1k.py'

model = dict(
    neck=dict(
        _delete_=True,
        type='mmpretrain.LinearNeck',
        in_channels=1280,
        out_channels=128,
        gap_dim=2,
        norm_cfg=None,
    ),
    head=dict(in_channels=128),
)
