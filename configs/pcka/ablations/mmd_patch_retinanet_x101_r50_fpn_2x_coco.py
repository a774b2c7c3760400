"""MMD with patches: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = [
    '../../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/pcka_pyramid.py',
]

distiller = _base_.distiller
distiller.distill_losses = dict(
    loss_mmd=dict(
        type='mmkd.PatchwiseLoss',
        loss=dict(type='mmkd.MMDLoss'),
        patch_size=16,
        levels=(0, 1, 2, 3),
        loss_weight=20.0,
    )
)
distiller.loss_forward_mappings = dict(loss_mmd=distiller.loss_forward_mappings.loss_pcka)
model = dict(distiller=distiller)
