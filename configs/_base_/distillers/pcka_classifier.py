"""PCKA on the last feature maps of a classifier."""

distiller = dict(
    losses=dict(
        pcka=dict(
            type='mmkd.PCKALoss', on='backbone', patch_size=4, center=False, loss_weight=10.0
        ),
    ),
)
