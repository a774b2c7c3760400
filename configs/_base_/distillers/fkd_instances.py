"""FKD on a detector: feature kernels of the instances of a batch."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    connectors=dict(
        # Of levels P3 to P7; both networks' boxes are the same.
        instances=dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128)),
    ),
    distill_losses=dict(
        # A pyramid's features feed several heads: nothing pulls them to 0.
        loss_fkd=dict(type='mmkd.FKDLoss', kernel_weight=30.0, regularization_weight=0.0),
    ),
    loss_forward_mappings=dict(
        loss_fkd=dict(
            student=dict(from_student=True, recorder='fpn', connector='instances'),
            teacher=dict(from_student=False, recorder='fpn', connector='instances'),
        ),
    ),
)
