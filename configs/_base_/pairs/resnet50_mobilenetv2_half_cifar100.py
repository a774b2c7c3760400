"""ResNet-50 teaches MobileNetV2 (half) on CIFAR-100."""

model = dict(
    type='mmkd.FrozenTeacherDistill',
    architecture=dict(cfg_path='mmkd::cifar100/mobilenetv2_half_cifar100.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/resnet50_cifar100.py',
        # Trained with that config, or converted by tools/convert_repdistiller.py.
        checkpoint='checkpoints/resnet50_cifar100.pth',
    ),
)
