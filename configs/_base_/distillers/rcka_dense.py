"""RCKA on a one-stage detector: CKA of instances' features, and of logits where it matters."""

_base_ = './rcka_instances.py'

distiller = dict(
    student_recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    teacher_recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    distill_losses=dict(
        loss_rcka_logits=dict(
            type='mmkd.TopKLocationsLoss',
            loss=dict(type='mmkd.LCKALoss', loss_weight=1.0),
            num_classes=80,
        ),
    ),
    loss_forward_mappings=dict(
        loss_rcka_logits=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
        ),
    ),
)
