"""Recorders: what the forward passes of teacher and student leave for connectors and losses."""

from mmkd.recorders.ensemble_outputs import EnsembleOutputsRecorder
from mmkd.recorders.level_outputs import LevelOutputsRecorder

__all__ = ['EnsembleOutputsRecorder', 'LevelOutputsRecorder']
