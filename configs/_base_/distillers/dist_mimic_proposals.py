"""DIST + mimic on a two-stage detector: adds the squared error of the projected pyramid levels."""

_base_ = './dist_proposals.py'

distiller = dict(
    losses=dict(
        mimic=dict(
            type='mmkd.MimicLoss',
            on='neck',
            student_connector=dict(type='mmkd.LevelwiseConv'),
            levels=(0, 1, 2, 3),
            loss_weight=1.0,
        ),
    ),
)
