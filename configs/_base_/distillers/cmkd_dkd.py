"""CMKD and DKD together on a classifier."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
        labels=dict(type='ModuleInputs', source='head.loss_module'),
    ),
    teacher_recorders=dict(
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    distill_losses=dict(
        loss_cmkd=dict(type='mmkd.CMKDLoss', tau=4.0, primary_weight=4.0, secondary_weight=1.0),
        loss_dkd=dict(type='DKDLoss', tau=4.0, alpha=1.0, beta=8.0),
    ),
    loss_forward_mappings=dict(
        loss_cmkd=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
        ),
        loss_dkd=dict(
            preds_S=dict(from_student=True, recorder='logits'),
            preds_T=dict(from_student=False, recorder='logits'),
            gt_labels=dict(from_student=True, recorder='labels', data_idx=1),
        ),
    ),
)
