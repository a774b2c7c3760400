"""CMKD on a one-stage detector: correlation of logits at the teacher's most confident locations."""

distiller = dict(
    recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    losses=dict(
        cmkd=dict(
            type='mmkd.TopKLocationsLoss',
            on='logits',
            loss=dict(
                type='mmkd.CMKDLoss',
                tau=1.0,
                primary_weight=4.0,
                secondary_weight=1.0,
                loss_weight=0.1,
            ),
        ),
    ),
)
