"""CCKD's correlation beside a hint: the squared error of unit embeddings in place of KD."""

_base_ = '../cckd_resnet32x4_resnet8x4_cifar100.py'

# One pair of embeddings for both losses.
embedding = dict(type='mmkd.LinearEmbed', out_channels=128)
model = dict(
    architecture=dict(head=dict(loss=dict(loss_weight=1.0))),
    distiller=dict(
        connectors=dict(
            student_embedding=embedding, teacher_embedding=dict(embedding, frozen=True)
        ),
        losses=dict(
            _delete_=True,
            cckd=dict(
                type='mmkd.CCKDLoss',
                on=dict(source='neck', data_idx=0),
                student_connector='student_embedding',
                teacher_connector='teacher_embedding',
                kernel='rbf',
                order=2,
                gamma=0.4,
                loss_weight=0.003,
            ),
            hint=dict(
                type='mmkd.DLKDAlignLoss',
                on=dict(source='neck', data_idx=0),
                student_connector='student_embedding',
                teacher_connector='teacher_embedding',
                loss_weight=1.0,
            ),
        ),
    ),
)
del embedding
