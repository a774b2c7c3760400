"""Contexts in which empty data sets and unreadable images raise errors that name the file."""

import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partialmethod
from typing import Any

from mmengine.dataset import BaseDataset

from mmkd.datasets.dataset_problems import empty_problem


@contextmanager
def _wrapped(cls: type, name: str, wrapper: Callable) -> Iterator[None]:
    """While the block runs, ``self.name(...)`` calls ``wrapper(self, stock, ...)``."""
    stock = getattr(cls, name)
    setattr(cls, name, partialmethod(wrapper, stock))
    try:
        yield
    finally:
        setattr(cls, name, stock)


def explain_empty_datasets() -> AbstractContextManager[None]:
    """Make an empty data set fail with its file and filters while the block runs.

    MMEngine builds the data sets before any hook runs, and fails on an empty one with NumPy's
    ``need at least one array to concatenate``. Training and test scripts run inside this block.

    Raises:
        ValueError: Names the annotation file, its number of images, the filter settings and the
            classes that the file lacks.

    Example:
        >>> with explain_empty_datasets():
        ...     dataset = BaseDataset(ann_file='', lazy_init=True)
    """

    def serialize(dataset: BaseDataset, stock: Callable) -> Any:
        if not dataset.data_list:
            raise ValueError(empty_problem(dataset))
        return stock(dataset)

    return _wrapped(BaseDataset, '_serialize_data', serialize)


def explain_unreadable_images() -> AbstractContextManager[None]:
    """Make a file that is no image fail with its path and size while the block runs.

    The errors of OpenCV and Pillow do not say which file is empty.

    Raises:
        ValueError: Names the file.
    """
    import cv2
    from mmcv.transforms import LoadImageFromFile

    def load(self: LoadImageFromFile, stock: Callable, results: dict) -> dict | None:
        try:
            return stock(self, results)
        except FileNotFoundError:
            raise  # names the file already
        except (AssertionError, OSError, cv2.error) as error:
            path = results['img_path']
            size = f' ({os.path.getsize(path)} bytes)' if os.path.isfile(path) else ''
            raise ValueError(f'image: expected a picture in {path}{size}: {error}') from error

    return _wrapped(LoadImageFromFile, 'transform', load)
