"""FKD on a classifier: feature kernels of the batch, and a penalty on the size of features."""

distiller = dict(
    losses=dict(
        fkd=dict(
            type='mmkd.FKDLoss',
            on=dict(source='neck', data_idx=0),
            kernel_weight=300.0,
            regularization_weight=20.0,
        ),
    ),
)
