"""CIFAR-10."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np

from mmkd.datasets.cifar_files import read_cifar_batch, read_cifar_classes
from mmkd.datasets.folders import require_folder
from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.functional.checks import check_choice
from mmkd.registry import DATASETS

_FILES = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}
_URL = 'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz'


@DATASETS.register_module()
class CIFAR10Dataset(InMemoryDataset):
    """CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32 x 32, 10 classes.

    Reads the official Python version: ``data_batch_1`` to ``5``, ``test_batch`` and
    ``batches.meta``, in ``root`` or its folder ``cifar-10-batches-py``. It unpickles only arrays.

    Args:
        root: Folder of the data.
        split: ``'train'`` (default) or ``'test'``.
        **kwargs: Arguments of :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        FileNotFoundError: If a file is missing.
        pickle.UnpicklingError: If a file is damaged, or refers to anything but arrays.
        ValueError: If ``split`` is unknown, or a file has other content.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        split: Literal['train', 'test'] = 'train',
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, (*_FILES,))
        files = [*_FILES[split], 'batches.meta']
        root = Path(root).expanduser()
        folder = require_folder('CIFAR-10', root, 'cifar-10-batches-py', files, _URL)
        batches = [read_cifar_batch(folder / name, 'labels') for name in _FILES[split]]
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        classes = read_cifar_classes(folder / 'batches.meta', 'label_names')
        metainfo = {'classes': classes, 'dataset_type': 'cifar10'}
        super().__init__(images, labels, metainfo=metainfo, **kwargs)
