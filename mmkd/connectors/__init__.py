"""Connectors: from what a recorder holds to what a loss takes."""

from mmkd.connectors.levelwise_conv import LevelwiseConv
from mmkd.connectors.linear_embed import LinearEmbed
from mmkd.connectors.masked_tokens import MaskedTokenGeneration, TokenProjection
from mmkd.connectors.mean_probabilities import MeanProbabilities
from mmkd.connectors.projection_mlp import ProjectionMLP
from mmkd.connectors.select_classes import SelectClasses
from mmkd.connectors.select_levels import SelectLevels
from mmkd.connectors.standardized_logits import StandardizedLogits

__all__ = [
    'LevelwiseConv',
    'LinearEmbed',
    'MaskedTokenGeneration',
    'MeanProbabilities',
    'ProjectionMLP',
    'SelectClasses',
    'SelectLevels',
    'StandardizedLogits',
    'TokenProjection',
]
