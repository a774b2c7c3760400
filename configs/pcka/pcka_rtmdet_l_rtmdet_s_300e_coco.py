"""PCKA: RTMDet-l teaches RTMDet-s on COCO."""

_base_ = ['../_base_/pairs/rtmdet_l_rtmdet_s_300e_coco.py', '../_base_/distillers/pcka_pyramid.py']

# Three levels: 128 channels in the student, 256 in the teacher.
distiller = _base_.distiller
distiller.losses.pcka.update(levels=(0, 1, 2), student_connector=dict(type='mmkd.LevelwiseConv'))
model = dict(distiller=distiller)
