"""CMKD on a two-stage detector: correlation of class logits of shared proposals.

The algorithm is `mmkd.SharedProposalDistill`.
"""

distiller = dict(
    losses=dict(
        cmkd=dict(
            type='mmkd.CMKDLoss',
            on=dict(
                student='roi_head.bbox_head.fc_cls',
                teacher='roi_head.bbox_head.fc_cls',
            ),
            tau=1.0,
            primary_weight=4.0,
            secondary_weight=1.0,
            loss_weight=0.1,
        ),
    ),
)
