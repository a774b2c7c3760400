"""CCKD on a classifier: correlation of embeddings within the batch, and KD."""

distiller = dict(
    losses=dict(
        cckd=dict(
            type='mmkd.CCKDLoss',
            on=dict(source='neck', data_idx=0),
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            kernel='rbf',
            order=2,
            gamma=0.4,
            loss_weight=0.003,
        ),
        kd=dict(type='KLDivergence', on='head.fc', tau=4.0, loss_weight=1.0),
    ),
)
