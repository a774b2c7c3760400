"""DIST (Huang et al. 2022), with MMRazor's loss."""

distiller = dict(
    losses=dict(
        dist=dict(
            type='DISTLoss',
            on='head.fc',
            inter_loss_weight=1.0,
            intra_loss_weight=1.0,
            tau=4.0,
        ),
    ),
)
