"""Image files without annotations."""

import logging
import os
from pathlib import Path
from typing import Any

import cv2
from mmengine.dataset import BaseDataset
from mmengine.logging import print_log

from mmkd.registry import DATASETS

# Those that OpenCV reads, as MMDetection and MMPretrain do.
EXTENSIONS = frozenset(('.jpg', '.jpeg', '.png', '.webp', '.bmp', '.ppm', '.pgm', '.tif', '.tiff'))
UNREADABLE = (AssertionError, OSError, ValueError, cv2.error)


@DATASETS.register_module()
class UnlabeledImages(BaseDataset):
    """Images of a folder, for detectors or classifiers, without any annotation.

    The first transform of the pipeline reads the file. If it cannot, the data set names the file in
    a warning and takes another image.

    Args:
        ann_file: A text file with the path of an image in each line, relative to the folder.
            Default: every image below the folder.
        data_prefix: ``dict(img_path=FOLDER)``.
        **kwargs: Arguments of MMEngine's ``BaseDataset`` (``pipeline``, ...).

    Raises:
        FileNotFoundError: If the folder or the file does not exist.
        ValueError: If the folder has no images.
    """

    def __init__(self, ann_file: str = '', *, data_prefix: dict[str, str], **kwargs: Any) -> None:
        self._warned: set[str] = set()
        super().__init__(ann_file, data_prefix=data_prefix, **kwargs)

    def load_data_list(self) -> list[dict[str, Any]]:
        """Return path and number of each image."""
        folder = Path(self.data_prefix['img_path'])
        if self.ann_file:
            files = Path(self.ann_file).read_text().split('\n')
            files = [file for file in files if file]
        else:
            files = image_files(folder)[0]
        if not files:
            raise ValueError(f'unlabeled: expected images in {folder}, got none')
        return [
            dict(img_path=str(folder / file), img_id=number, instances=[])
            for number, file in enumerate(files)
        ]

    def prepare_data(self, idx: int) -> Any:
        """Return a transformed image; None if its file cannot be read."""
        info = self.get_data_info(idx)
        load, *transforms = self.pipeline.transforms
        try:
            data = load(info)
        except FileNotFoundError:
            raise
        except UNREADABLE as error:
            self._warn(info['img_path'], error)
            return None
        for transform in transforms:
            if data is None:
                break
            data = transform(data)
        return data

    def _warn(self, path: str, error: Exception) -> None:
        if path not in self._warned:
            self._warned.add(path)
            text = f'unlabeled: {path} is left out, as it cannot be read: {error}'
            print_log(text, 'current', level=logging.WARNING)
        if len(self._warned) == len(self):
            raise ValueError(f'unlabeled: expected images, none of {len(self)} files can be read')


def image_files(folder: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """Return the images below a folder, and how many files of each other kind there are.

    Args:
        folder: Its folders are searched as well, links among them. Hidden files do not count.

    Returns:
        Paths relative to the folder, sorted; and counts by extension.

    Raises:
        FileNotFoundError: If there is no such folder.
    """
    if not Path(folder).is_dir():
        raise FileNotFoundError(f'unlabeled: no such folder: {folder}')
    images: list[str] = []
    others: dict[str, int] = {}
    seen = set()
    for parent, folders, files in os.walk(os.fspath(folder), followlinks=True):
        real = os.path.realpath(parent)
        if real in seen:  # a link to a folder above
            folders.clear()
            continue
        seen.add(real)
        folders.sort()
        for file in files:
            kind = os.path.splitext(file)[1].lower()
            if file.startswith('.'):
                continue
            if kind in EXTENSIONS:
                images.append(os.path.relpath(os.path.join(parent, file), folder))
            else:
                others[kind or file] = others.get(kind or file, 0) + 1
    return sorted(images), others
