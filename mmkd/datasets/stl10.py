"""STL-10, at CIFAR's resolution."""

import os
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.datasets.folders import unpacked_folder
from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.registry import DATASETS

_IMAGES = {'train': 'train_X.bin', 'test': 'test_X.bin', 'unlabeled': 'unlabeled_X.bin'}
_LABELS = {'train': 'train_y.bin', 'test': 'test_y.bin'}
_CLASSES = (
    ('airplane', 'bird', 'car', 'cat', 'deer')
    + ('dog', 'horse', 'monkey', 'ship', 'truck')
)  # fmt: skip
_STORED, _SIZE = 96, 32
_CHUNK = 4096  # images shrunk at a time: the unlabeled ones take 2.8 GB at their stored size


@DATASETS.register_module()
class STL10Dataset(InMemoryDataset):
    """STL-10 (Coates, Lee and Ng 2011), 10 classes, its 96 x 96 images shrunk to 32 x 32.

    5000 training, 8000 test and 100,000 unlabeled images. Reads the official binary version
    (``stl10_binary/train_X.bin``, ``train_y.bin``, ..., in ``root`` or being it). Images are
    shrunk bilinearly with antialiasing. Labels count from 0.

    Args:
        root: Folder of the data.
        split: ``'train'``, ``'test'`` or ``'unlabeled'``. Default ``'train'``.
        **kwargs: As for :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        FileNotFoundError: If a file is missing.
        ValueError: If ``split`` is none of them, or a file has an unfitting size.
    """

    def __init__(
        self, root: str | os.PathLike[str], *, split: str = 'train', **kwargs: Any
    ) -> None:
        if split not in _IMAGES:
            raise ValueError(f"split: expected 'train', 'test' or 'unlabeled', got {split!r}")
        names = [files[split] for files in (_IMAGES, _LABELS) if split in files]
        folder = _find_folder(Path(root).expanduser(), names)
        images = _read_images(folder / names[0])
        # The files count classes from 1; as bytes they could not go below 0.
        labels = [np.fromfile(folder / name, np.uint8).astype(np.int64) - 1 for name in names[1:]]
        metainfo = {'classes': _CLASSES, 'dataset_type': 'stl10'}
        super().__init__(images, *labels, metainfo=metainfo, **kwargs)


def _find_folder(root: Path, names: list[str]) -> Path:
    folder = unpacked_folder(root, 'stl10_binary', names)
    if folder is not None:
        return folder
    raise FileNotFoundError(
        f"root: expected STL-10 in '{root}': {' and '.join(names)}, in it or its stl10_binary "
        '(unpacked from http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz); found not '
        'all of them'
    )


def _read_images(path: Path) -> Tensor:
    """The file's images, shrunk, of shape (N, 3, 32, 32)."""
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
    upright = torch.from_numpy(images.swapaxes(2, 3).copy())  # a channel is stored column-wise
    return F.interpolate(upright, size=(_SIZE, _SIZE), mode='bilinear', antialias=True)
