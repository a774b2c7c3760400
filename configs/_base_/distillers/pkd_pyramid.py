"""PKD (Cao et al. 2022) on the levels of a detector's pyramid, as MMRazor configures it.

The weight is that of one-stage detectors. Two-stage ones have 6.
"""

losses = {
    f'pkd{level}': dict(type='PKDLoss', on=dict(source='neck', data_idx=level), loss_weight=10.0)
    for level in range(5)
}
distiller = dict(losses=losses)
del losses
