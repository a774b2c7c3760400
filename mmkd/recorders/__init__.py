"""Recorders: they keep what the forward passes leave for connectors and losses."""

from mmkd.recorders.cross_outputs import CrossOutputsRecorder
from mmkd.recorders.ensemble_outputs import EnsembleOutputsRecorder
from mmkd.recorders.instance_features import InstanceFeaturesRecorder
from mmkd.recorders.instance_labels import InstanceLabelsRecorder
from mmkd.recorders.level_outputs import LevelOutputsRecorder

__all__ = [
    'CrossOutputsRecorder',
    'EnsembleOutputsRecorder',
    'InstanceFeaturesRecorder',
    'InstanceLabelsRecorder',
    'LevelOutputsRecorder',
]
