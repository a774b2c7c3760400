"""Samplers of batches with several samples of each class."""

from mmkd.datasets.samplers.class_uniform import CURSampler
from mmkd.datasets.samplers.superclass_uniform import SURSampler

__all__ = ['CURSampler', 'SURSampler']
