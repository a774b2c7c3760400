"""MGD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../../_base_/pairs/gfl_r18w48_r18w16_digits.py'

losses = {
    f'mgd{level}': dict(
        type='MGDLoss',
        on=dict(source='neck', data_idx=level),
        student_connector=dict(type='MGDConnector', lambda_mgd=0.65),
        alpha_mgd=2e-5,
    )
    for level in range(3)
}
model = dict(distiller=dict(losses=losses))
del losses
