"""FBKD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../../_base_/pairs/gfl_r18w48_r18w16_digits.py'

losses = {
    f'fbkd{level}': dict(
        type='FBKDLoss',
        on=dict(source='neck', data_idx=level),
        student_connector=f'student{level}',
        teacher_connector=f'teacher{level}',
    )
    for level in range(3)
}
connectors = {
    f'{side}{level}': dict(
        type=f'FBKD{side.title()}Connector',
        reduction=4,
        mode='dot_product',
        sub_sample=True,
        maxpool_stride=2,
    )
    for side in ('student', 'teacher')
    for level in range(3)
}
model = dict(distiller=dict(connectors=connectors, losses=losses))
del connectors, losses
