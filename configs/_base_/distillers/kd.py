"""KD (Hinton et al. 2015), with MMRazor's loss."""

distiller = dict(
    losses=dict(kd=dict(type='KLDivergence', on='head.fc', tau=4.0, loss_weight=0.9)),
)
