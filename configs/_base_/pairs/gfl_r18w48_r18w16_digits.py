"""GFL on a ResNet-18 of width 48 teaches one of width 16, on scenes of digits."""

_base_ = '../../digits/gfl_r18w16_fpn_digits.py'

model = dict(
    _delete_=True,
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::digits/gfl_r18w16_fpn_digits.py'),
    teacher=dict(
        cfg_path='mmkd::digits/gfl_r18w48_fpn_digits.py',
        checkpoint='work_dirs/digits/teacher/teacher.pth',
    ),
)
