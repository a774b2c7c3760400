"""WRN-40-1 for 32 x 32 images of 100 classes."""

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmkd.CIFARWideResNet', depth=40, widen_factor=1),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=100,
        in_channels=64,
        loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        # PyTorch's own for the weight and zeros for the bias, as published.
        init_cfg=dict(
            type='Kaiming',
            layer='Linear',
            a=5**0.5,
            mode='fan_in',
            nonlinearity='leaky_relu',
            distribution='uniform',
        ),
    ),
)
