"""DeiT III-Base (pre-trained on ImageNet-21k) teaches DeiT-Small on ImageNet."""

_base_ = '../in1k_deit.py'

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmpretrain::deit/deit-small_4xb256_in1k.py'),
    teacher=dict(
        cfg_path='mmpretrain::deit3/deit3-base-p16_64xb64_in1k.py',
        checkpoint='https://download.openmmlab.com/mmclassification/v0/deit3/'
        'deit3-base-p16_in21k-pre_3rdparty_in1k_20221009-87983ca1.pth',
    ),
)
