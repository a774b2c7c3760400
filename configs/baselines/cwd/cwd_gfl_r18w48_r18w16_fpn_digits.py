"""CWD: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = '../../_base_/pairs/gfl_r18w48_r18w16_digits.py'

losses = {
    f'cwd{level}': dict(
        type='ChannelWiseDivergence', on=dict(source='neck', data_idx=level), tau=1, loss_weight=10
    )
    for level in range(3)
}
model = dict(distiller=dict(losses=losses))
del losses
