"""Distillation losses. ``forward(student, teacher)`` takes a Tensor, or one Tensor a level."""

from mmkd.losses.base.level_loss import LevelLoss
from mmkd.losses.cckd_loss import CCKDLoss
from mmkd.losses.cmkd_loss import CMKDLoss
from mmkd.losses.dlkd_loss import DLKDAlignLoss, DLKDCorrLoss, DLKDSupLoss
from mmkd.losses.fkd_loss import FKDLoss
from mmkd.losses.heads.dense_boxes_loss import DenseBoxesLoss
from mmkd.losses.heads.ld_loss import LDLoss
from mmkd.losses.heads.matched_queries_loss import MatchedQueriesLoss
from mmkd.losses.heads.soft_focal_loss import SoftFocalLoss
from mmkd.losses.heads.topk_locations_loss import TopKLocationsLoss
from mmkd.losses.mimic_loss import MimicLoss
from mmkd.losses.mmd_loss import MMDLoss
from mmkd.losses.patchwise_loss import PatchwiseLoss
from mmkd.losses.pcka_loss import PCKALoss
from mmkd.losses.rcka_loss import FCKALoss, LCKALoss
from mmkd.losses.sp_loss import SPLoss
from mmkd.losses.vitkd_loss import ViTKDGenerationLoss, ViTKDMimicLoss

__all__ = [
    'CCKDLoss',
    'CMKDLoss',
    'DLKDAlignLoss',
    'DLKDCorrLoss',
    'DLKDSupLoss',
    'DenseBoxesLoss',
    'FCKALoss',
    'FKDLoss',
    'LCKALoss',
    'LDLoss',
    'LevelLoss',
    'MMDLoss',
    'MatchedQueriesLoss',
    'MimicLoss',
    'PCKALoss',
    'PatchwiseLoss',
    'SPLoss',
    'SoftFocalLoss',
    'TopKLocationsLoss',
    'ViTKDGenerationLoss',
    'ViTKDMimicLoss',
]
