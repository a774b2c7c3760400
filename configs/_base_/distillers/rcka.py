"""RCKA on a classifier: CKA of feature maps, and of logits by samples and by classes."""

distiller = dict(
    losses=dict(
        rcka_features=dict(type='mmkd.FCKALoss', on='backbone', loss_weight=5.0),
        rcka_logits=dict(type='mmkd.LCKALoss', on='head.fc', loss_weight=5.0),
    ),
)
