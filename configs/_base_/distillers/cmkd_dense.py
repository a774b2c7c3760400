"""CMKD on a one-stage detector: correlation of class logits where the teacher is confident."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    teacher_recorders=dict(logits=dict(type='mmkd.LevelOutputs', source='bbox_head.retina_cls')),
    distill_losses=dict(
        loss_cmkd=dict(
            type='mmkd.TopKLocationsLoss',
            loss=dict(
                type='mmkd.CMKDLoss',
                tau=1.0,
                primary_weight=4.0,
                secondary_weight=1.0,
                loss_weight=0.1,
            ),
            num_classes=80,
        ),
    ),
    loss_forward_mappings=dict(
        loss_cmkd=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
        ),
    ),
)
