"""KD from averaged probabilities: five VGG-8 of different seeds teach one on CIFAR-100."""

_base_ = '../fkd_vgg8x5_vgg8_cifar100.py'

model = dict(
    distiller=dict(
        losses=dict(
            _delete_=True,
            kd=dict(
                type='KLDivergence',
                on=dict(
                    student='head.fc',
                    teacher=dict(type='mmkd.EnsembleOutputs', source='head.fc'),
                ),
                teacher_connector=dict(type='mmkd.MeanProbabilities', tau=4.0),
                tau=4.0,
                loss_weight=0.9,
            ),
        )
    )
)
