"""CWD (Shu et al. 2021) on the levels of a detector's pyramid, as MMRazor configures it."""

losses = {
    f'cwd{level}': dict(
        type='ChannelWiseDivergence', on=dict(source='neck', data_idx=level), tau=1, loss_weight=10
    )
    for level in range(5)
}
distiller = dict(losses=losses)
del losses
