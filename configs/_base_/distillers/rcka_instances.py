"""RCKA on a detector: CKA of feature maps between the instances of a batch."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    connectors=dict(
        # Of levels P3 to P7; both networks' boxes are the same.
        instances=dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128), mean=False),
    ),
    distill_losses=dict(
        loss_rcka_features=dict(type='mmkd.FCKALoss', loss_weight=5.0),
    ),
    loss_forward_mappings=dict(
        loss_rcka_features=dict(
            student=dict(from_student=True, recorder='fpn', connector='instances'),
            teacher=dict(from_student=False, recorder='fpn', connector='instances'),
        ),
    ),
)
