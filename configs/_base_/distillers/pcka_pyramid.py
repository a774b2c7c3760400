"""PCKA on the levels of a detector's pyramid."""

distiller = dict(
    losses=dict(
        # As published: without centering, on the four finest levels.
        pcka=dict(
            type='mmkd.PCKALoss',
            on='neck',
            patch_size=16,
            center=False,
            levels=(0, 1, 2, 3),
            loss_weight=10.0,
        ),
    ),
)
