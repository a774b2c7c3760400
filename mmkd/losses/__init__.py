"""Distillation losses: ``forward(student, teacher)`` on a Tensor or one Tensor a level."""

from mmkd.losses.base import LevelLoss
from mmkd.losses.mimic_loss import MimicLoss
from mmkd.losses.pcka_loss import PCKALoss

__all__ = ['LevelLoss', 'MimicLoss', 'PCKALoss']
