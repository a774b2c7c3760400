"""CCKD on a detector: correlation of embeddings between the instances of a batch."""

distiller = dict(
    recorders=dict(instances=dict(type='mmkd.InstanceFeatures', source='neck')),
    losses=dict(
        # The published weight of 0.003 has no visible effect here.
        cckd=dict(
            type='mmkd.CCKDLoss',
            on='instances',
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            # A fixed random projection: two trained embeddings could agree by collapsing.
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128, frozen=True),
            kernel='rbf',
            order=2,
            gamma=0.4,
            loss_weight=10.0,
        ),
    ),
)
