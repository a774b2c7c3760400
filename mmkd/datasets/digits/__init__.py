"""The demo tasks: scikit-learn's handwritten digits, alone and in scenes."""

from mmkd.datasets.digits.digits_dataset import DigitsDataset
from mmkd.datasets.digits.scene_files import digit_scenes
from mmkd.datasets.digits.scenes_dataset import DigitScenesDataset

__all__ = ['DigitScenesDataset', 'DigitsDataset', 'digit_scenes']
