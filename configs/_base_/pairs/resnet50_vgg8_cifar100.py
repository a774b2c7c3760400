"""ResNet-50 teaches VGG-8 on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/vgg8_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/resnet50_cifar100.py',
        # Train it with that config, or convert it with tools/convert_repdistiller.py.
        checkpoint='checkpoints/resnet50_cifar100.pth',
    ),
)
