"""DIST on a two-stage detector: class logits of shared proposals.

The algorithm is `mmkd.SharedProposalDistill`.
"""

distiller = dict(
    losses=dict(
        dist=dict(
            type='DISTLoss',
            on=dict(student='roi_head.bbox_head.fc_cls', teacher='roi_head.bbox_head.fc_cls'),
            inter_loss_weight=1.0,
            intra_loss_weight=1.0,
            tau=1.0,
            loss_weight=1.0,
        ),
    ),
)
