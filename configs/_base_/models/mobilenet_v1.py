"""MobileNetV1 for 224 x 224 images of 1000 classes."""

model = dict(
    type='mmpretrain.ImageClassifier',
    backbone=dict(type='mmkd.MobileNetV1', widen_factor=1.0),
    neck=dict(type='mmpretrain.GlobalAveragePooling'),
    head=dict(
        type='mmpretrain.LinearClsHead',
        num_classes=1000,
        in_channels=1024,
        loss=dict(type='mmpretrain.CrossEntropyLoss', loss_weight=1.0),
        topk=(1, 5),
    ),
)
