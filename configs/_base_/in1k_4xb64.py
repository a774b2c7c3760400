"""ImageNet, 100 epochs: 4 GPUs x 64 images, learning rate 0.1 divided by 10 at 30, 60 and 90."""

_base_ = [
    'mmpretrain::_base_/datasets/imagenet_bs64.py',
    'mmpretrain::_base_/schedules/imagenet_bs256.py',
    './classification_runtime.py',
]

train_dataloader = dict(
    # A resumed run draws the same augmentations as an uninterrupted one.
    persistent_workers=False,
    worker_init_fn=dict(type='mmkd_epoch_worker_init'),
)
