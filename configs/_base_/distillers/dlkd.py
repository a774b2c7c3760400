"""DLKD on a classifier: alignment, correlation of rotated views, and labels."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
        labels=dict(type='ModuleInputs', source='head.loss_module'),
    ),
    teacher_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
    ),
    connectors=dict(
        # Widths come with the pair.
        align=dict(type='mmkd.ProjectionMLP'),
        correlate=dict(type='mmkd.ProjectionMLP', expansion=1),
        sup_student=dict(type='mmkd.LinearEmbed', out_channels=128),
        sup_teacher=dict(type='mmkd.LinearEmbed', out_channels=128),
    ),
    distill_losses=dict(
        loss_dlkd_align=dict(type='mmkd.DLKDAlignLoss', loss_weight=10.0),
        loss_dlkd_corr=dict(type='mmkd.DLKDCorrLoss', num_views=4, tau=0.5, loss_weight=20.0),
        loss_dlkd_sup=dict(type='mmkd.DLKDSupLoss', tau=0.07, loss_weight=0.5),
    ),
    loss_forward_mappings=dict(
        loss_dlkd_align=dict(
            student=dict(from_student=True, recorder='feature', data_idx=0, connector='align'),
            teacher=dict(from_student=False, recorder='feature', data_idx=0),
        ),
        loss_dlkd_corr=dict(
            student=dict(from_student=True, recorder='feature', data_idx=0, connector='correlate'),
            teacher=dict(from_student=False, recorder='feature', data_idx=0),
        ),
        loss_dlkd_sup=dict(
            student=dict(
                from_student=True, recorder='feature', data_idx=0, connector='sup_student'
            ),
            teacher=dict(
                from_student=False, recorder='feature', data_idx=0, connector='sup_teacher'
            ),
            gt_labels=dict(from_student=True, recorder='labels', data_idx=1),
        ),
    ),
)
