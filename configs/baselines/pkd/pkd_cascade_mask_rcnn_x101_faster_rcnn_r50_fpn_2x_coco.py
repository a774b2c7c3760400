"""PKD: Cascade Mask R-CNN X101 teaches Faster R-CNN R50 on COCO."""

_base_ = [
    '../../_base_/pairs/cascade_mask_rcnn_x101_faster_rcnn_r50_fpn_2x_coco.py',
    '../../_base_/distillers/pkd_pyramid.py',
]

distiller = _base_.distiller
distiller.losses.pkd0.update(loss_weight=6.0)
distiller.losses.pkd1.update(loss_weight=6.0)
distiller.losses.pkd2.update(loss_weight=6.0)
distiller.losses.pkd3.update(loss_weight=6.0)
distiller.losses.pkd4.update(loss_weight=6.0)
model = dict(distiller=distiller)
