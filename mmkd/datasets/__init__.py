"""Data sets."""

from mmkd.datasets.cifar10 import CIFAR10Dataset
from mmkd.datasets.cifar100 import CIFAR100Dataset
from mmkd.datasets.digit_scene_files import digit_scenes
from mmkd.datasets.digit_scenes_dataset import DigitScenesDataset
from mmkd.datasets.digits import DigitsDataset
from mmkd.datasets.in_memory import InMemoryDataset, pass_batch_on
from mmkd.datasets.samplers import CURSampler, SURSampler
from mmkd.datasets.stl10 import STL10Dataset

__all__ = [
    'CIFAR10Dataset',
    'CIFAR100Dataset',
    'CURSampler',
    'DigitScenesDataset',
    'DigitsDataset',
    'InMemoryDataset',
    'STL10Dataset',
    'SURSampler',
    'digit_scenes',
    'pass_batch_on',
]
