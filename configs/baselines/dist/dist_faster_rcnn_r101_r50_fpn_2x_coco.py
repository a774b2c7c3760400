"""DIST of shared proposals: Faster R-CNN R101 teaches Faster R-CNN R50 on COCO."""

_base_ = [
    '../../_base_/pairs/faster_rcnn_r101_r50_fpn_2x_coco.py',
    '../../_base_/distillers/dist_proposals.py',
]

model = dict(type='mmkd.SharedProposalDistill', distiller=_base_.distiller)
