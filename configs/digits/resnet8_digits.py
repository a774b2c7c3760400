"""The student: ResNet-8 of half width, on 160 of the digits."""

_base_ = ['../_base_/datasets/digits_classification.py', '../_base_/classification_runtime.py']

model = dict(
    type='ImageClassifier',
    backbone=dict(type='mmkd.CIFARResNet', depth=8, widths=(8, 8, 16, 32)),
    neck=dict(type='GlobalAveragePooling'),
    head=dict(
        type='LinearClsHead',
        num_classes=10,
        in_channels=32,
        loss=dict(type='CrossEntropyLoss', loss_weight=1.0),
        topk=(1,),
    ),
)
train_dataloader = dict(batch_size=32, dataset=dict(num_samples=160))

max_epochs = 80
train_cfg = dict(by_epoch=True, max_epochs=max_epochs, val_interval=max_epochs)
val_cfg = dict()
test_cfg = dict()
optim_wrapper = dict(
    optimizer=dict(type='SGD', lr=0.05, momentum=0.9, weight_decay=5e-4, nesterov=True)
)
param_scheduler = [
    dict(
        type='LinearLR',
        start_factor=0.1,
        by_epoch=True,
        begin=0,
        end=max_epochs // 8,
        convert_to_iter_based=True,
    ),
    dict(
        type='CosineAnnealingLR',
        by_epoch=True,
        begin=max_epochs // 8,
        end=max_epochs,
        T_max=max_epochs - max_epochs // 8,
        convert_to_iter_based=True,
    ),
]
default_hooks = dict(logger=dict(interval=20), checkpoint=dict(interval=max_epochs))
auto_scale_lr = dict(base_batch_size=32)
randomness = dict(seed=0)
