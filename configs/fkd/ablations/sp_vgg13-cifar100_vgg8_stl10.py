"""SP: VGG-13 trained on CIFAR-100 teaches VGG-8 on the unlabeled images of STL-10."""

_base_ = '../fkd_vgg13-cifar100_vgg8_stl10.py'

model = dict(
    distiller=dict(
        losses=dict(
            _delete_=True,
            sp=dict(
                type='mmkd.SPLoss',
                on=dict(source='backbone', record_idx=1, data_idx=0),
                loss_weight=3000.0,
            ),
        )
    )
)
