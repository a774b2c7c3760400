"""PCKA: DINO Swin-L teaches DINO R50 on COCO."""

_base_ = ['../_base_/pairs/dino_swin-l_r50_12e_coco.py', '../_base_/distillers/pcka_pyramid.py']

# The teacher's levels begin at a stride of 4, the student's at 8.
distiller = _base_.distiller
distiller.losses.pcka.teacher_connector = dict(type='mmkd.SelectLevels', levels=(1, 2, 3, 4))
model = dict(distiller=distiller)
