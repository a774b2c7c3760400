"""COCO, the published distillation schedule: 24 epochs, 4 GPUs x 3 images."""

_base_ = [
    'mmdet::_base_/datasets/coco_detection.py',
    'mmdet::_base_/schedules/schedule_2x.py',
    './default_runtime.py',
]

train_dataloader = dict(
    batch_size=3,
    # A resumed run draws the same augmentations as an uninterrupted one.
    persistent_workers=False,
    worker_init_fn=dict(type='mmkd_epoch_worker_init'),
)
auto_scale_lr = dict(base_batch_size=12)
