"""FKD: one VGG-8 teaches another on CIFAR-100."""

_base_ = '../fkd_vgg8x5_vgg8_cifar100.py'

members = _base_.model.teacher.members
model = dict(
    teacher=dict(_delete_=True, members={f'seed{n}': members[f'seed{n}'] for n in range(1)})
)
del members
