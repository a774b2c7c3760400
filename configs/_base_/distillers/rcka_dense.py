"""RCKA on a one-stage detector: adds CKA of logits at the teacher's most confident locations."""

_base_ = './rcka_instances.py'

distiller = dict(
    recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    losses=dict(
        rcka_logits=dict(
            type='mmkd.TopKLocationsLoss',
            on='logits',
            loss=dict(type='mmkd.LCKALoss', loss_weight=1.0),
        ),
    ),
)
