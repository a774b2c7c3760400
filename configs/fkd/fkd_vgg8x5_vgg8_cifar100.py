"""FKD from an ensemble: five VGG-8 of different seeds teach one on CIFAR-100."""

_base_ = ['../_base_/cifar100_240e.py', '../_base_/distillers/fkd.py']

distiller = _base_.distiller
distiller.losses.fkd.on = dict(
    student=dict(source='neck', data_idx=0),
    teacher=dict(type='mmkd.EnsembleOutputs', source='neck', data_idx=0),
)
model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/vgg8_cifar100.py'),
    teacher=dict(
        members={
            f'seed{seed}': dict(
                cfg_path='mmkd::cifar100/vgg8_cifar100.py',
                checkpoint=f'checkpoints/vgg8_seed{seed}_cifar100.pth',
            )
            for seed in range(5)
        }
    ),
    distiller=distiller,
)
