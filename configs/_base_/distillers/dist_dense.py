"""DIST on a one-stage detector: class logits at the teacher's most confident locations."""

distiller = dict(
    recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    losses=dict(
        dist=dict(
            type='mmkd.TopKLocationsLoss',
            on='logits',
            loss=dict(
                type='DISTLoss',
                inter_loss_weight=1.0,
                intra_loss_weight=1.0,
                tau=1.0,
                loss_weight=0.1,
            ),
        ),
    ),
)
