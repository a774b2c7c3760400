"""Handwritten digits at 32 x 32, embedded; crops with a border of 4 pixels."""

# Means and deviations of the training images, RGB.
data_preprocessor = dict(
    num_classes=10,
    mean=[77.9, 77.9, 77.9],
    std=[82.6, 82.6, 82.6],
    to_rgb=False,
)
train_dataloader = dict(
    batch_size=64,
    num_workers=0,  # batches are made on the device
    collate_fn=dict(type='mmkd_batch_collate'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    drop_last=True,
    dataset=dict(
        type='mmkd.DigitsDataset',
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
        type='mmkd.DigitsDataset',
        split='val',
    ),
)
test_dataloader = val_dataloader
val_evaluator = dict(type='Accuracy', topk=(1,))
test_evaluator = val_evaluator
