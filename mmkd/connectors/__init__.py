"""Connectors: from what a recorder holds to what a loss takes."""

from mmkd.connectors.instance_features import InstanceFeatures
from mmkd.connectors.instance_labels import InstanceLabels
from mmkd.connectors.levelwise_conv import LevelwiseConv
from mmkd.connectors.linear_embed import LinearEmbed
from mmkd.connectors.select_levels import SelectLevels
from mmkd.connectors.spindle_mlp import SpindleMLP

__all__ = [
    'InstanceFeatures',
    'InstanceLabels',
    'LevelwiseConv',
    'LinearEmbed',
    'SelectLevels',
    'SpindleMLP',
]
