"""CMKD and DKD together on a classifier."""

_base_ = './dkd.py'

distiller = dict(
    losses=dict(
        cmkd=dict(
            type='mmkd.CMKDLoss',
            on='head.fc',
            tau=4.0,
            primary_weight=4.0,
            secondary_weight=1.0,
        ),
    ),
)
