"""CCKD on a detector: correlation of embeddings between the instances of a batch."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    teacher_recorders=dict(fpn=dict(type='ModuleOutputs', source='neck')),
    connectors=dict(
        # Of levels P3 to P7; both networks' boxes are the same.
        embed_student=[
            dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128)),
            dict(type='mmkd.LinearEmbed', in_channels=256, out_channels=128),
        ],
        # A random projection: two trained embeddings could agree by saying nothing.
        embed_teacher=[
            dict(type='mmkd.InstanceFeatures', strides=(8, 16, 32, 64, 128)),
            dict(type='mmkd.LinearEmbed', in_channels=256, out_channels=128, frozen=True),
        ],
    ),
    distill_losses=dict(
        # At the published 0.003 the term is too small to be noticed.
        loss_cckd=dict(type='mmkd.CCKDLoss', kernel='rbf', order=2, gamma=0.4, loss_weight=10.0),
    ),
    loss_forward_mappings=dict(
        loss_cckd=dict(
            student=dict(from_student=True, recorder='fpn', connector='embed_student'),
            teacher=dict(from_student=False, recorder='fpn', connector='embed_teacher'),
        ),
    ),
)
