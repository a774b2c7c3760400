"""KD from averaged probabilities: two VGG-8 of different seeds teach one on CIFAR-100."""

_base_ = './kd_vgg8x5_vgg8_cifar100.py'

members = _base_.model.teacher.members
model = dict(
    teacher=dict(_delete_=True, members={f'seed{n}': members[f'seed{n}'] for n in range(2)})
)
del members
