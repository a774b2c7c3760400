"""DIST of shared proposals: Cascade Mask R-CNN X101 teaches Faster R-CNN R50 on COCO."""

_base_ = [
    '../../_base_/pairs/cascade_mask_rcnn_x101_faster_rcnn_r50_fpn_2x_coco.py',
    '../../_base_/distillers/dist_proposals.py',
]

distiller = _base_.distiller
# The last stage of the teacher's cascade.
distiller.losses.dist.on.teacher = 'roi_head.bbox_head.2.fc_cls'
model = dict(type='mmkd.SharedProposalDistill', distiller=distiller)
