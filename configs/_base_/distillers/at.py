"""AT (Zagoruyko and Komodakis 2017), with MMRazor's loss."""

distiller = dict(
    losses=dict(
        at=dict(type='ATLoss', on=dict(source='backbone', data_idx=0), loss_weight=1000.0),
    ),
)
