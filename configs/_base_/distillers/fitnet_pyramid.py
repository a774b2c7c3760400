"""FitNet on the levels of a detector's pyramid: the mean squared error of projected levels."""

losses = {
    f'fitnet{level}': dict(
        type='L2Loss',
        on=dict(source='neck', data_idx=level),
        student_connector=dict(type='mmkd.LevelwiseConv'),
        normalize=False,
        div_element=True,
        loss_weight=1.0,
    )
    for level in range(5)
}
distiller = dict(losses=losses)
del losses
