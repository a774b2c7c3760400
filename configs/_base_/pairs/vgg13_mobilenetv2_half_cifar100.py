"""VGG-13 teaches MobileNetV2 (half) on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/mobilenetv2_half_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/vgg13_cifar100.py',
        # Train it with that config, or convert it with tools/convert_repdistiller.py.
        checkpoint='checkpoints/vgg13_cifar100.pth',
    ),
)
