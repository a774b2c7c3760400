"""KD on a two-stage detector: class logits of shared proposals.

The algorithm is `mmkd.SharedProposalDistill`.
"""

distiller = dict(
    losses=dict(
        kd=dict(
            type='KLDivergence',
            on=dict(student='roi_head.bbox_head.fc_cls', teacher='roi_head.bbox_head.fc_cls'),
            tau=1.0,
            loss_weight=1.0,
        ),
    ),
)
