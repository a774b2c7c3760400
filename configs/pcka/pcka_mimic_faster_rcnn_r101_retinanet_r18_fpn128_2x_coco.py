"""PCKA + mimic: Faster R-CNN R101 teaches a RetinaNet R18 of 128 channels on COCO."""

_base_ = [
    '../_base_/pairs/faster_rcnn_r101_retinanet_r18_fpn128_2x_coco.py',
    '../_base_/distillers/pcka_mimic_pyramid.py',
]

# Strides 8 to 64 are levels 0-3 of the student and 1-4 of the teacher. Both losses share one
# projection.
distiller = _base_.distiller
distiller.connectors = dict(
    width=dict(type='mmkd.LevelwiseConv'),
    strides=dict(type='mmkd.SelectLevels', levels=(1, 2, 3, 4)),
)
distiller.losses.pcka.update(student_connector='width', teacher_connector='strides')
distiller.losses.mimic.update(student_connector='width', teacher_connector='strides')
model = dict(distiller=distiller)
