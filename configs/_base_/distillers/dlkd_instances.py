"""DLKD on a detector: alignment, correlation and labels of the instances of a batch.

Boxes near each instance stand in for the rotated views of an image.
"""

distiller = dict(
    recorders=dict(instances=dict(type='mmkd.InstanceFeatures', source='neck', num_views=4)),
    losses=dict(
        dlkd_align=dict(
            type='mmkd.DLKDAlignLoss',
            on='instances',
            student_connector=dict(type='mmkd.ProjectionMLP', expansion=4),
            loss_weight=1.0,
        ),
        dlkd_corr=dict(
            type='mmkd.DLKDCorrLoss',
            on='instances',
            student_connector=dict(type='mmkd.ProjectionMLP', out_channels='student', expansion=1),
            num_views=4,
            tau=0.5,
            loss_weight=2.0,
        ),
        dlkd_sup=dict(
            type='mmkd.DLKDSupLoss',
            on=dict(recorder='instances', data_idx=0),
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            inputs=dict(gt_labels=dict(type='mmkd.InstanceLabels')),
            tau=0.07,
            loss_weight=0.05,
        ),
    ),
)
