"""VGG-13 trained on CIFAR-100 teaches VGG-8 on STL-10."""

_base_ = '../../transfer/vgg8_stl10.py'

model = dict(
    _delete_=True,
    type='mmkd.UnlabeledDistill',
    architecture=dict(cfg_path='mmkd::transfer/vgg8_stl10.py'),
    teacher=dict(
        cfg_path='mmkd::cifar100/vgg13_cifar100.py',
        # Train it with that config, or convert it with tools/convert_repdistiller.py.
        checkpoint='checkpoints/vgg13_cifar100.pth',
    ),
)
