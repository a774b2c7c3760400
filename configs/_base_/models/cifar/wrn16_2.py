"""WRN-16-2 for 32 x 32 images of 100 classes."""

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmkd.CIFARWideResNet', depth=16, widen_factor=2),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=100,
        in_channels=128,
        loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        # As published: PyTorch's default for the weight, zeros for the bias.
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
