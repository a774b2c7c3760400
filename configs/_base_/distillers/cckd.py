"""CCKD on a classifier, with embeddings beside the networks: correlation in the batch, and KD."""

distiller = dict(
    losses=dict(
        cckd=dict(
            type='mmkd.CCKDLoss',
            on=dict(source='neck', data_idx=0),
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            # A fixed random projection: two trained embeddings could agree by collapsing.
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128, frozen=True),
            kernel='rbf',
            order=2,
            gamma=0.4,
            loss_weight=0.003,
        ),
        kd=dict(type='KLDivergence', on='head.fc', tau=4.0, loss_weight=1.0),
    ),
)
