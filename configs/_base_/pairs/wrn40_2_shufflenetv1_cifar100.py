"""WRN-40-2 teaches ShuffleNetV1 on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/shufflenetv1_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/wrn40_2_cifar100.py',
        # Train it with that config, or convert it with tools/convert_repdistiller.py.
        checkpoint='checkpoints/wrn40_2_cifar100.pth',
    ),
)
