"""ResNet-14 teaches ResNet-8 on handwritten digits."""

_base_ = '../../digits/resnet8_digits.py'

model = dict(
    _delete_=True,
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::digits/resnet8_digits.py'),
    teacher=dict(
        cfg_path='mmkd::digits/resnet14_digits.py',
        checkpoint='work_dirs/digits-cls/teacher/epoch_16.pth',
    ),
)
