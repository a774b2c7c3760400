"""ResNet-50 for 32 x 32 images of 100 classes."""

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmkd.CIFARResNet50'),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=100,
        in_channels=2048,
        loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        init_cfg=None,  # PyTorch's default, as published
    ),
)
