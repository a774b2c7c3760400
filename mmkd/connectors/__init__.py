"""Connectors: from what a recorder holds to what a loss takes."""

from mmkd.connectors.levelwise_conv import LevelwiseConv

__all__ = ['LevelwiseConv']
