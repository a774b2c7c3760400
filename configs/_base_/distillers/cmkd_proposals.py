"""CMKD on a two-stage detector: correlation of class logits of shared proposals.

For `mmkd.SharedProposalDistill`.
"""

distiller = dict(
    type='ConfigurableDistiller',
    student_recorders=dict(logits=dict(type='ModuleOutputs', source='roi_head.bbox_head.fc_cls')),
    teacher_recorders=dict(logits=dict(type='ModuleOutputs', source='roi_head.bbox_head.fc_cls')),
    distill_losses=dict(
        loss_cmkd=dict(
            type='mmkd.CMKDLoss', tau=1.0, primary_weight=4.0, secondary_weight=1.0, loss_weight=0.1
        ),
    ),
    loss_forward_mappings=dict(
        loss_cmkd=dict(
            student=dict(from_student=True, recorder='logits'),
            teacher=dict(from_student=False, recorder='logits'),
        ),
    ),
)
