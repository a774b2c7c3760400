"""CCKD on a classifier: correlation of embeddings within the batch, and KD."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    teacher_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    connectors=dict(
        # Widths of their inputs come with the pair.
        embed_student=dict(type='mmkd.LinearEmbed', out_channels=128),
        embed_teacher=dict(type='mmkd.LinearEmbed', out_channels=128),
    ),
    distill_losses=dict(
        loss_cckd=dict(type='mmkd.CCKDLoss', kernel='rbf', order=2, gamma=0.4, loss_weight=0.003),
        loss_kd=dict(type='KLDivergence', tau=4.0, loss_weight=1.0),
    ),
    loss_forward_mappings=dict(
        loss_cckd=dict(
            student=dict(
                from_student=True, recorder='feature', data_idx=0, connector='embed_student'
            ),
            teacher=dict(
                from_student=False, recorder='feature', data_idx=0, connector='embed_teacher'
            ),
        ),
        loss_kd=dict(
            preds_S=dict(from_student=True, recorder='logits'),
            preds_T=dict(from_student=False, recorder='logits'),
        ),
    ),
)
