"""Distillation losses: ``forward(student, teacher)`` on a Tensor or one Tensor a level."""

from mmkd.losses.base import LevelLoss
from mmkd.losses.cckd_loss import CCKDLoss
from mmkd.losses.cmkd_loss import CMKDLoss
from mmkd.losses.confident_locations import ConfidentLocations
from mmkd.losses.dlkd_align_loss import DLKDAlignLoss
from mmkd.losses.dlkd_corr_loss import DLKDCorrLoss
from mmkd.losses.dlkd_sup_loss import DLKDSupLoss
from mmkd.losses.fcka_loss import FCKALoss
from mmkd.losses.fkd_loss import FKDLoss
from mmkd.losses.lcka_loss import LCKALoss
from mmkd.losses.mimic_loss import MimicLoss
from mmkd.losses.mmd_loss import MMDLoss
from mmkd.losses.patchwise import Patchwise
from mmkd.losses.pcka_loss import PCKALoss

__all__ = [
    'CCKDLoss',
    'CMKDLoss',
    'ConfidentLocations',
    'DLKDAlignLoss',
    'DLKDCorrLoss',
    'DLKDSupLoss',
    'FCKALoss',
    'FKDLoss',
    'LCKALoss',
    'LevelLoss',
    'MMDLoss',
    'MimicLoss',
    'PCKALoss',
    'Patchwise',
]
