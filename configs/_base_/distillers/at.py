"""AT (Zagoruyko and Komodakis 2017), of MMRazor."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
    ),
    teacher_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
    ),
    distill_losses=dict(
        loss_at=dict(type='ATLoss', loss_weight=1000.0),
    ),
    loss_forward_mappings=dict(
        loss_at=dict(
            s_feature=dict(from_student=True, recorder='maps', data_idx=0),
            t_feature=dict(from_student=False, recorder='maps', data_idx=0),
        ),
    ),
)
