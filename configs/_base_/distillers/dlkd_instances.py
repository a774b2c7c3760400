"""DLKD on a detector: alignment, correlation and labels of the instances of a batch.

For rotated views of an image stand boxes near that of each instance.
"""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    connectors=dict(
        # Of levels P3 to P7; both networks' boxes are the same.
        views=dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128), num_views=4),
        align=[
            dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128), num_views=4),
            dict(type='mmkd.ProjectionMLP', in_channels=256, out_channels=256, expansion=4),
        ],
        correlate=[
            dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128), num_views=4),
            dict(type='mmkd.ProjectionMLP', in_channels=256, out_channels=256, expansion=1),
        ],
        sup_student=[
            dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128)),
            dict(type='mmkd.LinearEmbed', in_channels=256, out_channels=128),
        ],
        sup_teacher=[
            dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128)),
            dict(type='mmkd.LinearEmbed', in_channels=256, out_channels=128),
        ],
        labels=dict(type='mmkd.InstanceLabels'),
    ),
    distill_losses=dict(
        loss_dlkd_align=dict(type='mmkd.DLKDAlignLoss', loss_weight=1.0),
        loss_dlkd_corr=dict(type='mmkd.DLKDCorrLoss', num_views=4, tau=0.5, loss_weight=2.0),
        loss_dlkd_sup=dict(type='mmkd.DLKDSupLoss', tau=0.07, loss_weight=0.05),
    ),
    loss_forward_mappings=dict(
        loss_dlkd_align=dict(
            student=dict(from_student=True, recorder='fpn', connector='align'),
            teacher=dict(from_student=False, recorder='fpn', connector='views'),
        ),
        loss_dlkd_corr=dict(
            student=dict(from_student=True, recorder='fpn', connector='correlate'),
            teacher=dict(from_student=False, recorder='fpn', connector='views'),
        ),
        loss_dlkd_sup=dict(
            student=dict(from_student=True, recorder='fpn', connector='sup_student'),
            teacher=dict(from_student=False, recorder='fpn', connector='sup_teacher'),
            gt_labels=dict(from_student=True, recorder='fpn', connector='labels'),
        ),
    ),
)
