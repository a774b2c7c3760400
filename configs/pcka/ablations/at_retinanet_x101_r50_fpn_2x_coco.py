"""AT, one loss a level: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = '../../_base_/pairs/retinanet_x101_r50_fpn_2x_coco.py'

losses = {
    f'at_{level}': dict(type='ATLoss', on=dict(source='neck', data_idx=level), loss_weight=200.0)
    for level in range(4)
}
model = dict(distiller=dict(losses=losses))
del losses
