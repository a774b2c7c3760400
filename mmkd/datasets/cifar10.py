"""CIFAR-10."""

import os
from pathlib import Path
from typing import Any

import numpy as np

from mmkd.datasets.cifar_files import read_cifar_batch, read_cifar_classes
from mmkd.datasets.folders import unpacked_folder
from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.registry import DATASETS

_FILES = {'train': [f'data_batch_{i}' for i in range(1, 6)], 'test': ['test_batch']}


@DATASETS.register_module()
class CIFAR10Dataset(InMemoryDataset):
    """CIFAR-10 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32 x 32, 10 classes.

    Reads the official Python version (``cifar-10-batches-py/data_batch_1`` to ``5``,
    ``test_batch`` and ``batches.meta``, in ``root`` or being it), of which nothing but arrays is
    unpickled.

    Args:
        root: Folder of the data.
        split: ``'train'`` or ``'test'``. Default ``'train'``.
        **kwargs: As for :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        FileNotFoundError: If a file is missing.
        pickle.UnpicklingError: If a file is damaged or names anything but arrays.
        ValueError: If ``split`` is neither, or a file holds something else.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, split: str = 'train', **kwargs: Any
    ) -> None:
        if split not in _FILES:
            raise ValueError(f"split: expected 'train' or 'test', got {split!r}")
        folder = _find_folder(Path(root).expanduser(), [*_FILES[split], 'batches.meta'])
        batches = [read_cifar_batch(folder / name, 'labels') for name in _FILES[split]]
        images, labels = (np.concatenate(parts) for parts in zip(*batches, strict=True))
        classes = read_cifar_classes(folder / 'batches.meta', 'label_names')
        metainfo = {'classes': classes, 'dataset_type': 'cifar10'}
        super().__init__(images, labels, metainfo=metainfo, **kwargs)


def _find_folder(root: Path, names: list[str]) -> Path:
    folder = unpacked_folder(root, 'cifar-10-batches-py', names)
    if folder is not None:
        return folder
    raise FileNotFoundError(
        f"root: expected CIFAR-10 in '{root}': {', '.join(names)}, in it or its "
        'cifar-10-batches-py (unpacked from '
        'https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz); found not all of them'
    )
