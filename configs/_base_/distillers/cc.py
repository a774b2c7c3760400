"""CC: the correlation congruence of CCKD as a baseline, beside the cross entropy."""

distiller = dict(
    losses=dict(
        # The weight and the series of RepDistiller, which compares with it.
        cc=dict(
            type='mmkd.CCKDLoss',
            on=dict(source='neck', data_idx=0),
            student_connector=dict(type='mmkd.LinearEmbed', out_channels=128),
            teacher_connector=dict(type='mmkd.LinearEmbed', out_channels=128, frozen=True),
            kernel='rbf',
            order=2,
            gamma=0.4,
            loss_weight=0.02,
        ),
    ),
)
