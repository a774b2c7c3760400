"""FitNet (Romero et al. 2015), a hint on the last feature map, with MMRazor's loss."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
    ),
    teacher_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
    ),
    connectors=dict(
        # Widths come with the pair.
        hint=dict(type='mmkd.LevelwiseConv', num_levels=1),
    ),
    distill_losses=dict(
        loss_fitnet=dict(type='L2Loss', normalize=False, div_element=True, loss_weight=100.0),
    ),
    loss_forward_mappings=dict(
        loss_fitnet=dict(
            s_feature=dict(from_student=True, recorder='maps', data_idx=0, connector='hint'),
            t_feature=dict(from_student=False, recorder='maps', data_idx=0),
        ),
    ),
)
