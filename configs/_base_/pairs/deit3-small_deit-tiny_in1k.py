"""DeiT III-Small (pre-trained on ImageNet-21k) teaches DeiT-Tiny on ImageNet."""

_base_ = '../in1k_deit.py'

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmpretrain::deit/deit-tiny_4xb256_in1k.py'),
    teacher=dict(
        cfg_path='mmpretrain::deit3/deit3-small-p16_64xb64_in1k.py',
        checkpoint='https://download.openmmlab.com/mmclassification/v0/deit3/'
        'deit3-small-p16_in21k-pre_3rdparty_in1k_20221009-dcd90827.pth',
    ),
)
