"""CIFAR-10 in memory; crops with a border of 4 pixels, flips."""

# Means and deviations of the training images, RGB.
data_preprocessor = dict(
    num_classes=10,
    mean=[125.3, 123.0, 113.9],
    std=[63.0, 62.1, 66.7],
    to_rgb=False,
)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # batches are made on the device
    collate_fn=dict(type='mmkd_batch_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    drop_last=True,
    dataset=dict(
        type='mmkd.CIFAR10Dataset',
        root='data/cifar10',
        split='train',
        augment=True,
    ),
)
val_dataloader = dict(
    batch_size=256,
    num_workers=0,
    collate_fn=dict(type='mmkd_batch_collate'),
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmkd.CIFAR10Dataset',
        root='data/cifar10',
        split='test',
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
