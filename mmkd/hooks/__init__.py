"""Hooks: safety checks, schedules of losses, and measurements of the teacher."""

from mmkd.hooks.advice import AdviceHook
from mmkd.hooks.atomic_checkpoint import AtomicCheckpointHook
from mmkd.hooks.data_check import DataCheckHook
from mmkd.hooks.epoch_seed import EpochSeedHook, seed_epoch_worker
from mmkd.hooks.feature_similarity import FeatureSimilarityHook
from mmkd.hooks.finite_loss import FiniteLossHook
from mmkd.hooks.loss_balance import LossBalanceHook
from mmkd.hooks.loss_schedule import LossScheduleHook
from mmkd.hooks.missed_evaluation import MissedEvaluationHook
from mmkd.hooks.teacher_evaluation import TeacherEvaluationHook

__all__ = [
    'AdviceHook',
    'AtomicCheckpointHook',
    'DataCheckHook',
    'EpochSeedHook',
    'FeatureSimilarityHook',
    'FiniteLossHook',
    'LossBalanceHook',
    'LossScheduleHook',
    'MissedEvaluationHook',
    'TeacherEvaluationHook',
    'seed_epoch_worker',
]
