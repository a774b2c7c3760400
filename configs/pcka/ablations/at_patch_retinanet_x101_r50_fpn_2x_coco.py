"""AT with patches: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = [
    '../../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/pcka_pyramid.py',
]

distiller = _base_.distiller
distiller.distill_losses = dict(
    loss_at=dict(
        type='mmkd.PatchwiseLoss',
        loss=dict(type='ATLoss', loss_weight=1.0),
        layout='map',
        patch_size=16,
        levels=(0, 1, 2, 3),
        loss_weight=30.0,
    )
)
distiller.loss_forward_mappings = dict(loss_at=distiller.loss_forward_mappings.loss_pcka)
model = dict(distiller=distiller)
