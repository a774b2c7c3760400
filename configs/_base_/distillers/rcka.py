"""RCKA on a classifier: CKA of feature maps, and of logits by samples and by classes."""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    teacher_recorders=dict(
        maps=dict(type='ModuleOutputs', source='backbone'),
        logits=dict(type='ModuleOutputs', source='head.fc'),
    ),
    distill_losses=dict(
        loss_rcka_features=dict(type='mmkd.FCKALoss', loss_weight=5.0),
        loss_rcka_logits=dict(type='mmkd.LCKALoss', loss_weight=5.0),
    ),
    loss_forward_mappings=dict(
        loss_rcka_features=dict(
            student=dict(from_student=True, recorder='maps'),
            teacher=dict(from_student=False, recorder='maps'),
        ),
        loss_rcka_logits=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
        ),
    ),
)
