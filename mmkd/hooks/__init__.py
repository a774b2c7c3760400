"""Hooks that keep a run safe: data that fits the model, finite losses, whole checkpoints."""

from mmkd.hooks.atomic_checkpoint import AtomicCheckpointHook
from mmkd.hooks.data_check import DataCheckHook, explain_empty_datasets
from mmkd.hooks.epoch_seed import EpochSeedHook, seed_epoch_worker
from mmkd.hooks.feature_similarity import FeatureSimilarityHook
from mmkd.hooks.finite_loss import FiniteLossHook

__all__ = [
    'AtomicCheckpointHook',
    'DataCheckHook',
    'EpochSeedHook',
    'FeatureSimilarityHook',
    'FiniteLossHook',
    'explain_empty_datasets',
    'seed_epoch_worker',
]
