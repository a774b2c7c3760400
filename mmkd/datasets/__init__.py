"""Data sets."""

from mmkd.datasets.cifar10 import CIFAR10Dataset
from mmkd.datasets.cifar100 import CIFAR100Dataset
from mmkd.datasets.in_memory import InMemoryDataset, pass_batch_on
from mmkd.datasets.samplers import CURSampler, SURSampler
from mmkd.datasets.stl10 import STL10Dataset
from mmkd.datasets.unlabeled_images import UnlabeledImages

__all__ = [
    'CIFAR10Dataset',
    'CIFAR100Dataset',
    'CURSampler',
    'InMemoryDataset',
    'STL10Dataset',
    'SURSampler',
    'UnlabeledImages',
    'pass_batch_on',
]
