"""CMKD of logits: GFL on a ResNet-18 of width 48 teaches one of width 16, on digits."""

_base_ = [
    '../_base_/pairs/gfl_r18w48_r18w16_digits.py',
    '../_base_/distillers/cmkd_dense.py',
]

distiller = _base_.distiller
distiller.student_recorders.logits.source = 'bbox_head.gfl_cls'
distiller.teacher_recorders.logits.source = 'bbox_head.gfl_cls'
distiller.distill_losses.loss_cmkd.num_classes = 10
model = dict(distiller=distiller)
