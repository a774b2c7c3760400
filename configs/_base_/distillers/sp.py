"""SP (Tung and Mori 2019): similarities between the samples of a batch."""

distiller = dict(
    losses=dict(
        sp=dict(type='mmkd.SPLoss', on=dict(source='backbone', data_idx=0), loss_weight=3000.0),
    ),
)
