"""DLKD on a classifier: alignment, correlation of rotated views, and labels."""

distiller = dict(
    losses=dict(
        dlkd_align=dict(
            type='mmkd.DLKDAlignLoss',
            on=dict(source='neck', data_idx=0),
            student_connector=dict(type='mmkd.ProjectionMLP'),
            loss_weight=10.0,
        ),
        dlkd_corr=dict(
            type='mmkd.DLKDCorrLoss',
            on=dict(source='neck', data_idx=0),
            student_connector=dict(type='mmkd.ProjectionMLP', out_channels='student', expansion=1),
            num_views=4,
            tau=0.5,
            loss_weight=20.0,
        ),
        dlkd_sup=dict(
            type='mmkd.DLKDSupLoss',
            on=dict(source='neck', data_idx=0),
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            inputs=dict(
                gt_labels=dict(type='ModuleInputs', source='head.loss_module', data_idx=1),
            ),
            tau=0.07,
            candidates='both',
            loss_weight=0.5,
        ),
    ),
)
