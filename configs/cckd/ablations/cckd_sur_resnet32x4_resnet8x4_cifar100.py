"""CCKD with four samples of each superclass in a batch (ablation)."""

_base_ = '../cckd_resnet32x4_resnet8x4_cifar100.py'

# Written by tools/superclasses.py from this config's teacher.
train_dataloader = dict(
    sampler=dict(
        _delete_=True,
        type='mmkd.SURSampler',
        batch_size=64,
        superclasses='checkpoints/superclasses_cifar100.npz',
        num_per_class=4,
    )
)
