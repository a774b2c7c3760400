"""PCKA + mimic: RTMDet-l teaches RTMDet-s on COCO."""

_base_ = [
    '../_base_/pairs/rtmdet_l_rtmdet_s_300e_coco.py',
    '../_base_/distillers/pcka_mimic_pyramid.py',
]

# Three levels: 128 channels in the student, 256 in the teacher. Both losses share one projection.
distiller = _base_.distiller
distiller.connectors = dict(width=dict(type='mmkd.LevelwiseConv'))
distiller.losses.pcka.update(levels=(0, 1, 2), student_connector='width')
distiller.losses.mimic.update(levels=(0, 1, 2), student_connector='width')
model = dict(distiller=distiller)
