"""RCKA on a detector: CKA of feature maps between the instances of a batch."""

distiller = dict(
    recorders=dict(instances=dict(type='mmkd.InstanceFeatures', source='neck', mean=False)),
    losses=dict(
        rcka_features=dict(type='mmkd.FCKALoss', on='instances', loss_weight=5.0),
    ),
)
