"""RCKA: DeiT III-Small teaches DeiT-Tiny on ImageNet."""

_base_ = ['../_base_/pairs/deit3-small_deit-tiny_in1k.py', '../_base_/distillers/rcka.py']

# A transformer's maps are the tokens after its last block.
distiller = _base_.distiller
distiller.losses.rcka_features.on = 'backbone.layers.11'
distiller.losses.rcka_logits.on = 'head.layers.head'
model = dict(distiller=distiller)
