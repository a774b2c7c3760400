"""PCKA with 1 image a GPU: RetinaNet X101 teaches RetinaNet R50 on COCO."""

_base_ = '../pcka_retinanet_x101_r50_fpn_2x_coco.py'

train_dataloader = dict(batch_size=1)
