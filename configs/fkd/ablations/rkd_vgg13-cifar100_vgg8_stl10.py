"""RKD: VGG-13 trained on CIFAR-100 teaches VGG-8 on the unlabeled images of STL-10."""

_base_ = '../fkd_vgg13-cifar100_vgg8_stl10.py'

features = dict(source='neck', record_idx=1, data_idx=0)
model = dict(
    distiller=dict(
        losses=dict(
            _delete_=True,
            rkd_distance=dict(
                type='DistanceWiseRKD', on=features, with_l2_norm=False, loss_weight=25.0
            ),
            rkd_angle=dict(type='AngleWiseRKD', on=features, with_l2_norm=False, loss_weight=50.0),
        )
    )
)
del features
