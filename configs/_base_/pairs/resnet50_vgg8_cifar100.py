"""ResNet-50 teaches VGG-8 on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/vgg8_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/resnet50_cifar100.py',
        # Trained with that config, or converted by tools/convert_repdistiller.py.
        checkpoint='checkpoints/resnet50_cifar100.pth',
    ),
)
