"""FitNet (Romero et al. 2015): a hint on the last feature map, with MMRazor's loss."""

distiller = dict(
    losses=dict(
        fitnet=dict(
            type='L2Loss',
            on=dict(source='backbone', data_idx=0),
            student_connector=dict(type='mmkd.LevelwiseConv'),
            normalize=False,
            div_element=True,
            loss_weight=100.0,
        ),
    ),
)
