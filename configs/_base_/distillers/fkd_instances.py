"""FKD on a detector: feature kernels of the instances of a batch."""

distiller = dict(
    recorders=dict(instances=dict(type='mmkd.InstanceFeatures', source='neck')),
    losses=dict(
        # No penalty: several heads read a pyramid's features, so nothing pulls them to 0.
        fkd=dict(
            type='mmkd.FKDLoss', on='instances', kernel_weight=30.0, regularization_weight=0.0
        ),
    ),
)
