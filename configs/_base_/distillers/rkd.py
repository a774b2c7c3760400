"""RKD (Park et al. 2019), with MMRazor's losses."""

distiller = dict(
    losses=dict(
        rkd_distance=dict(
            type='DistanceWiseRKD',
            on=dict(source='neck', data_idx=0),
            with_l2_norm=False,
            loss_weight=25.0,
        ),
        rkd_angle=dict(
            type='AngleWiseRKD',
            on=dict(source='neck', data_idx=0),
            with_l2_norm=False,
            loss_weight=50.0,
        ),
    ),
)
