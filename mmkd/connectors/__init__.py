"""Connectors: from what a recorder holds to what a loss takes."""

from mmkd.connectors.levelwise_conv import LevelwiseConv
from mmkd.connectors.linear_embed import LinearEmbed
from mmkd.connectors.projection_mlp import ProjectionMLP
from mmkd.connectors.select_levels import SelectLevels
from mmkd.recorders.instance_features import InstanceFeatures
from mmkd.recorders.instance_labels import InstanceLabels

__all__ = [
    'InstanceFeatures',
    'InstanceLabels',
    'LevelwiseConv',
    'LinearEmbed',
    'ProjectionMLP',
    'SelectLevels',
]
