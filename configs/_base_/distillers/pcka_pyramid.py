"""PCKA on the levels of a detector's pyramid."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        fpn=dict(type='ModuleOutputs', source='neck'),
    ),
    teacher_recorders=dict(
        fpn=dict(type='ModuleOutputs', source='neck'),
    ),
    distill_losses=dict(
        # Published without centering, on the four finest levels.
        loss_pcka=dict(
            type='mmkd.PCKALoss',
            patch_size=16,
            center=False,
            levels=(0, 1, 2, 3),
            loss_weight=10.0,
        ),
    ),
    loss_forward_mappings=dict(
        loss_pcka=dict(
            student=dict(from_student=True, recorder='fpn'),
            teacher=dict(from_student=False, recorder='fpn'),
        ),
    ),
)
