"""Connectors: from what a recorder holds to what a loss takes."""

from mmkd.connectors.levelwise_conv import LevelwiseConv
from mmkd.connectors.linear_embed import LinearEmbed
from mmkd.connectors.projection_mlp import ProjectionMLP
from mmkd.connectors.select_levels import SelectLevels

__all__ = ['LevelwiseConv', 'LinearEmbed', 'ProjectionMLP', 'SelectLevels']
