"""PCKA on the last feature maps of a classifier."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
    ),
    teacher_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
    ),
    distill_losses=dict(
        loss_pcka=dict(type='mmkd.PCKALoss', patch_size=4, center=False, loss_weight=10.0),
    ),
    loss_forward_mappings=dict(
        loss_pcka=dict(
            student=dict(from_student=True, recorder='maps'),
            teacher=dict(from_student=False, recorder='maps'),
        ),
    ),
)
