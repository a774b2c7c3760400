"""RCKA and ViTKD (Yang et al. 2022) on transformers of twelve blocks."""

distiller = dict(
    losses=dict(
        rcka_features=dict(type='mmkd.FCKALoss', on='backbone.layers.11', loss_weight=5.0),
        rcka_logits=dict(type='mmkd.LCKALoss', on='head.layers.head', loss_weight=5.0),
        vitkd_mimic0=dict(
            type='mmkd.ViTKDMimicLoss',
            on='backbone.layers.0',
            student_connector=dict(type='mmkd.TokenProjection'),
            loss_weight=3e-5,
        ),
        vitkd_mimic1=dict(
            type='mmkd.ViTKDMimicLoss',
            on='backbone.layers.1',
            student_connector=dict(type='mmkd.TokenProjection'),
            loss_weight=3e-5,
        ),
        vitkd_generation=dict(
            type='mmkd.ViTKDGenerationLoss',
            on='backbone.layers.11',
            student_connector=dict(type='mmkd.MaskedTokenGeneration', mask_ratio=0.5),
            loss_weight=3e-6,
        ),
    ),
)
