"""RKD (Park et al. 2019), of MMRazor."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
    ),
    teacher_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
    ),
    distill_losses=dict(
        loss_rkd_distance=dict(type='DistanceWiseRKD', with_l2_norm=False, loss_weight=25.0),
        loss_rkd_angle=dict(type='AngleWiseRKD', with_l2_norm=False, loss_weight=50.0),
    ),
    loss_forward_mappings=dict(
        loss_rkd_distance=dict(
            preds_S=dict(from_student=True, recorder='feature', data_idx=0),
            preds_T=dict(from_student=False, recorder='feature', data_idx=0),
        ),
        loss_rkd_angle=dict(
            preds_S=dict(from_student=True, recorder='feature', data_idx=0),
            preds_T=dict(from_student=False, recorder='feature', data_idx=0),
        ),
    ),
)
