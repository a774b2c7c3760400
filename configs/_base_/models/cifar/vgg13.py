"""VGG-13 for 32 x 32 images of 100 classes."""

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmkd.CIFARVGG', depth=13),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=100,
        in_channels=512,
        loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        init_cfg=dict(type='Normal', layer='Linear', std=0.01),
    ),
)
