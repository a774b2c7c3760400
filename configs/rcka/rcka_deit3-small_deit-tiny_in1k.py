"""RCKA: DeiT III-Small teaches DeiT-Tiny on ImageNet."""

_base_ = [
    '../_base_/pairs/deit3-small_deit-tiny_in1k.py',
    '../_base_/distillers/rcka.py',
]

# A transformer's maps are the tokens after its last block.
distiller = _base_.distiller
distiller.student_recorders.maps.source = 'backbone.layers.11'
distiller.teacher_recorders.maps.source = 'backbone.layers.11'
distiller.student_recorders.logits.source = 'head.layers.head'
distiller.teacher_recorders.logits.source = 'head.layers.head'
model = dict(distiller=distiller)
