"""Name the file when an image cannot be read."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

import cv2
from mmcv.transforms import LoadImageFromFile


def _describe(path: str) -> str:
    return f'{path} ({os.path.getsize(path)} bytes)' if os.path.isfile(path) else path


@contextmanager
def explain_unreadable_images() -> Iterator[None]:
    """Make a file that is no image fail with its path and size, while the block runs.

    OpenCV's own error does not tell which of the files was empty, nor does Pillow's.

    Raises:
        ValueError: Names the file.
    """
    stock = LoadImageFromFile.transform

    def transform(self: LoadImageFromFile, results: dict) -> dict | None:
        try:
            return stock(self, results)
        except FileNotFoundError:
            raise  # names the file already
        except (AssertionError, OSError, cv2.error) as error:
            raise ValueError(
                f'image: expected a picture in {_describe(results["img_path"])}: {error}'
            ) from error

    LoadImageFromFile.transform = transform
    try:
        yield
    finally:
        LoadImageFromFile.transform = stock
