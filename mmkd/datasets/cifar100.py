"""CIFAR-100."""

import json
import os
from pathlib import Path
from typing import Any, Literal

import cv2
import numpy as np

from mmkd.datasets.cifar_files import read_cifar_batch, read_cifar_classes
from mmkd.datasets.folders import unpacked_folder
from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.functional.checks import check_choice
from mmkd.registry import DATASETS

_TILE = 32


@DATASETS.register_module()
class CIFAR100Dataset(InMemoryDataset):
    """CIFAR-100 (Krizhevsky 2009): 50,000 training and 10,000 test images of 32 x 32, 100 classes.

    Reads one of two formats. The official Python version has ``train``, ``test`` and ``meta``, in
    ``root`` or its folder ``cifar-100-python``; only arrays are unpickled. Mosaics have
    ``classes.json``, a list of names, and ``{train,test}/NN.webp``, the images of label ``NN`` as
    tiles, row by row.

    Args:
        root: Folder of the data.
        split: ``'train'`` (default) or ``'test'``.
        **kwargs: Arguments of :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        FileNotFoundError: If ``root`` has neither format.
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
        check_choice('split', split, ('train', 'test'))
        images, labels, classes = _read(Path(root).expanduser(), split)
        metainfo = {'classes': classes, 'dataset_type': 'cifar100'}
        super().__init__(images, labels, metainfo=metainfo, **kwargs)


def _read(root: Path, split: str) -> tuple[np.ndarray, np.ndarray, tuple[str, ...]]:
    folder = unpacked_folder(root, 'cifar-100-python', [split, 'meta'])
    if folder is not None:
        images, labels = read_cifar_batch(folder / split, 'fine_labels')
        return images, labels, read_cifar_classes(folder / 'meta', 'fine_label_names')
    if (root / 'classes.json').is_file() and (root / split).is_dir():
        classes = tuple(json.loads((root / 'classes.json').read_text()))
        return *_read_mosaics(root / split, len(classes)), classes
    raise FileNotFoundError(
        f"root: expected CIFAR-100 in '{root}': cifar-100-python/{split} and cifar-100-python/meta "
        '(unpack https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz), or mosaics '
        f'{split}/NN.webp and classes.json; found neither'
    )


def _read_mosaics(folder: Path, num_classes: int) -> tuple[np.ndarray, np.ndarray]:
    images = [_read_mosaic(folder / f'{label:02d}.webp') for label in range(num_classes)]
    return np.concatenate(images), np.repeat(np.arange(num_classes), [len(x) for x in images])


def _read_mosaic(path: Path) -> np.ndarray:
    """Return the tiles, uint8 RGB of shape (N, 3, 32, 32), row by row."""
    if not path.is_file():
        raise FileNotFoundError(f"root: expected one mosaic a class, but '{path}' is missing")
    mosaic = cv2.imread(str(path), cv2.IMREAD_COLOR)
    if mosaic is None:
        raise ValueError(f'{path}: expected a picture that OpenCV can read')
    if mosaic.shape[0] % _TILE or mosaic.shape[1] % _TILE:
        raise ValueError(
            f'{path}: expected sides that are multiples of {_TILE} pixels, got {mosaic.shape[:2]}'
        )
    rows, columns = mosaic.shape[0] // _TILE, mosaic.shape[1] // _TILE
    tiles = mosaic[..., ::-1].reshape(rows, _TILE, columns, _TILE, 3)
    return tiles.transpose(0, 2, 4, 1, 3).reshape(-1, 3, _TILE, _TILE)
