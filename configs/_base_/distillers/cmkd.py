"""CMKD on a classifier: Pearson and Spearman correlation of class probabilities."""

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
