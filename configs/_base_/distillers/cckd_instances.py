"""CCKD on a detector: correlation of embeddings between the instances of a batch."""

distiller = dict(
    recorders=dict(instances=dict(type='mmkd.InstanceFeatures', source='neck')),
    losses=dict(
        # At the published weight of 0.003 the term has no visible effect.
        cckd=dict(
            type='mmkd.CCKDLoss',
            on='instances',
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            # A random projection: two trained embeddings could agree by saying nothing.
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128, frozen=True),
            kernel='rbf',
            order=2,
            gamma=0.4,
            loss_weight=10.0,
        ),
    ),
)
