"""Connectors: from what a recorder holds to what a loss takes."""

from mmkd.connectors.levelwise_conv import LevelwiseConv
from mmkd.connectors.linear_embed import LinearEmbed
from mmkd.connectors.spindle_mlp import SpindleMLP

__all__ = ['LevelwiseConv', 'LinearEmbed', 'SpindleMLP']
