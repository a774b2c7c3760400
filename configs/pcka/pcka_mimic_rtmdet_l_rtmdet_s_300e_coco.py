"""PCKA + mimic: RTMDet-l teaches RTMDet-s on COCO."""

_base_ = [
    '../_base_/pairs/rtmdet_l_rtmdet_s_300e_coco.py',
    '../_base_/distillers/pcka_mimic_pyramid.py',
]

# Three levels, of 128 channels in the student and of 256 in the teacher; one projection for both.
distiller = _base_.distiller
distiller.connectors.mimic.update(in_channels=128, num_levels=3)
distiller.distill_losses.loss_pcka.levels = (0, 1, 2)
distiller.distill_losses.loss_mimic.levels = (0, 1, 2)
distiller.loss_forward_mappings.loss_pcka.student.connector = 'mimic'
model = dict(distiller=distiller)
