"""CMKD on a classifier: Pearson and Spearman correlation of class probabilities."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    teacher_recorders=dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    distill_losses=dict(
        loss_cmkd=dict(type='mmkd.CMKDLoss', tau=4.0, primary_weight=4.0, secondary_weight=1.0),
    ),
    loss_forward_mappings=dict(
        loss_cmkd=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
        ),
    ),
)
