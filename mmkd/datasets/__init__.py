"""Data sets."""

from mmkd.datasets.digit_scene_files import digit_scenes
from mmkd.datasets.digit_scenes_dataset import DigitScenesDataset

__all__ = ['DigitScenesDataset', 'digit_scenes']
