# Scenes of handwritten digits, drawn on first use. No flips: a mirrored digit is a different sign.
# Loading is so fast that worker processes would slow it down.
image_size = 160

train_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(type='Resize', scale=(image_size, image_size), keep_ratio=True),
    dict(type='PackDetInputs'),
]
test_pipeline = [
    dict(type='LoadImageFromFile'),
    dict(type='Resize', scale=(image_size, image_size), keep_ratio=True),
    dict(type='LoadAnnotations', with_bbox=True),
    dict(
        type='PackDetInputs',
        # CocoMetric takes the ground truth from `instances`, so it needs no annotation file.
        meta_keys=('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor', 'instances'),
    ),
]

train_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    worker_init_fn=dict(type='mmkd_epoch_worker_init'),
    sampler=dict(type='DefaultSampler', shuffle=True),
    dataset=dict(
        type='mmkd.DigitScenesDataset',
        split='train',
        num_images=500,
        image_size=image_size,
        seed=0,
        pipeline=train_pipeline,
    ),
)
val_dataloader = dict(
    batch_size=8,
    num_workers=0,
    persistent_workers=False,
    drop_last=False,
    sampler=dict(type='DefaultSampler', shuffle=False),
    dataset=dict(
        type='mmkd.DigitScenesDataset',
        split='val',
        num_images=200,
        image_size=image_size,
        seed=0,
        test_mode=True,
        pipeline=test_pipeline,
    ),
)
test_dataloader = val_dataloader

val_evaluator = dict(type='CocoMetric', metric='bbox')
test_evaluator = val_evaluator
