"""From an image to boxes or probabilities, as one module that can be traced."""

from mmkd.deploy.graph.choice import graph_of
from mmkd.deploy.graph.image_graphs import ImageGraph, InputKind, RawGraph, UnsupportedModelError

__all__ = ['ImageGraph', 'InputKind', 'RawGraph', 'UnsupportedModelError', 'graph_of']
