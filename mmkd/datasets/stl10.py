"""STL-10 at CIFAR's resolution."""

import os
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.datasets.folders import require_folder
from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.functional.checks import check_choice
from mmkd.registry import DATASETS

_IMAGES = {'train': 'train_X.bin', 'test': 'test_X.bin', 'unlabeled': 'unlabeled_X.bin'}
_LABELS = {'train': 'train_y.bin', 'test': 'test_y.bin'}
_CLASSES = (
    ('airplane', 'bird', 'car', 'cat', 'deer')
    + ('dog', 'horse', 'monkey', 'ship', 'truck')
)  # fmt: skip
_URL = 'http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz'
_STORED, _SIZE = 96, 32
_CHUNK = 4096  # images to shrink at once: the unlabeled ones take 2.8 GB at their stored size


@DATASETS.register_module()
class STL10Dataset(InMemoryDataset):
    """STL-10 (Coates, Lee and Ng 2011), 10 classes, with 96 x 96 images shrunk to 32 x 32.

    It has 5000 training, 8000 test and 100,000 unlabeled images. Reads the official binary version:
    ``train_X.bin``, ``train_y.bin``, ..., in ``root`` or its folder ``stl10_binary``. Images are
    resized bilinearly with antialiasing. Labels count from 0.

    Args:
        root: Folder of the data.
        split: ``'train'`` (default), ``'test'`` or ``'unlabeled'``.
        **kwargs: Arguments of :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If ``split`` is unknown, or a file has a wrong size.
    """

    def __init__(
        self,
        root: str | os.PathLike[str],
        *,
        split: Literal['train', 'test', 'unlabeled'] = 'train',
        **kwargs: Any,
    ) -> None:
        check_choice('split', split, (*_IMAGES,))
        names = [files[split] for files in (_IMAGES, _LABELS) if split in files]
        folder = require_folder('STL-10', Path(root).expanduser(), 'stl10_binary', names, _URL)
        images = _read_images(folder / names[0])
        # The files count classes from 1. Bytes would wrap around below 0.
        labels = [np.fromfile(folder / name, np.uint8).astype(np.int64) - 1 for name in names[1:]]
        metainfo = {'classes': _CLASSES, 'dataset_type': 'stl10'}
        super().__init__(images, *labels, metainfo=metainfo, **kwargs)


def _read_images(path: Path) -> Tensor:
    """Read the images of a file and shrink them to (N, 3, 32, 32)."""
    size = path.stat().st_size
    image_size = 3 * _STORED * _STORED
    if size == 0 or size % image_size:
        raise ValueError(
            f'{path}: expected a multiple of {image_size} bytes (3 x {_STORED} x {_STORED} an '
            f'image), got {size}'
        )
    stored = np.memmap(path, np.uint8, 'r').reshape(-1, 3, _STORED, _STORED)
    chunks = [_shrink(stored[start : start + _CHUNK]) for start in range(0, len(stored), _CHUNK)]
    return torch.cat(chunks)


def _shrink(images: np.ndarray) -> Tensor:
    upright = torch.from_numpy(images.swapaxes(2, 3).copy())  # the file stores columns first
    return F.interpolate(upright, size=(_SIZE, _SIZE), mode='bilinear', antialias=True)
