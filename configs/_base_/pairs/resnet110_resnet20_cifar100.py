"""ResNet-110 teaches ResNet-20 on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/resnet20_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/resnet110_cifar100.py',
        # Train it with that config, or convert it with tools/convert_repdistiller.py.
        checkpoint='checkpoints/resnet110_cifar100.pth',
    ),
)
