"""AT, one loss a level: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = [
    '../../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/pcka_pyramid.py',
]

distiller = _base_.distiller
distiller.distill_losses = {
    f'loss_at_{level}': dict(type='ATLoss', loss_weight=200.0) for level in range(4)
}
distiller.loss_forward_mappings = {
    f'loss_at_{level}': dict(
        s_feature=dict(from_student=True, recorder='fpn', data_idx=level),
        t_feature=dict(from_student=False, recorder='fpn', data_idx=level),
    )
    for level in range(4)
}
model = dict(distiller=distiller)
