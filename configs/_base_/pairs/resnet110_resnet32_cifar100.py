"""ResNet-110 teaches ResNet-32 on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/resnet32_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/resnet110_cifar100.py',
        # Trained with that config, or converted by tools/convert_repdistiller.py.
        checkpoint='checkpoints/resnet110_cifar100.pth',
    ),
)
