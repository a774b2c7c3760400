"""CIFAR-100 in memory, with random flips and crops (4 pixels of padding)."""

# Means and deviations of the training images, RGB.
data_preprocessor = dict(
    num_classes=100,
    mean=[129.3, 124.1, 112.4],
    std=[68.2, 65.4, 70.4],
    to_rgb=False,
)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # batches are made on the device
    collate_fn=dict(type='mmkd_batch_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    drop_last=True,
    dataset=dict(
        type='mmkd.CIFAR100Dataset',
        root='data/cifar100',
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
        type='mmkd.CIFAR100Dataset',
        root='data/cifar100',
        split='test',
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1, 5))
test_evaluator = val_evaluator
