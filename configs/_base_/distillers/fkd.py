"""FKD on a classifier: feature kernels of the batch, and the size of the features."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
    ),
    teacher_recorders=dict(
        feature=dict(type='ModuleOutputs', source='neck'),
    ),
    distill_losses=dict(
        loss_fkd=dict(type='mmkd.FKDLoss', kernel_weight=300.0, regularization_weight=20.0),
    ),
    loss_forward_mappings=dict(
        loss_fkd=dict(
            student=dict(from_student=True, recorder='feature', data_idx=0),
            teacher=dict(from_student=False, recorder='feature', data_idx=0),
        ),
    ),
)
