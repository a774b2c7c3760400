"""CCKD on classifiers whose last layer before the classifier is an embedding, and KD."""

distiller = dict(
    losses=dict(
        cckd=dict(
            type='mmkd.CCKDLoss',
            on=dict(source='neck', data_idx=0),
            kernel='rbf',
            order=2,
            gamma=0.4,
            loss_weight=0.003,
            normalize=True,
        ),
        kd=dict(type='KLDivergence', on='head.fc', tau=4.0, loss_weight=1.0),
    ),
)
