"""The embedded detection data as an MMDetection data set."""

import os
from typing import Any

from mmdet.datasets import CocoDataset

from mmkd.datasets.digits.scene_files import digit_scenes
from mmkd.registry import DATASETS


@DATASETS.register_module()
class DigitScenesDataset(CocoDataset):
    """Scenes of handwritten digits, drawn on first use; see :func:`mmkd.datasets.digit_scenes`.

    Needs no download. Ten classes, one to eight objects an image, small,
    medium and a few large ones in COCO's sense. The annotation file and the image folder follow
    from the arguments, so ``ann_file``, ``data_root`` and ``data_prefix`` cannot be given.

    Args:
        split: ``'train'`` or ``'val'``; they share no source digit. Default ``'train'``.
        num_images: Number of scenes. Default 500.
        image_size: Side of the square scenes in pixels. Default 160.
        seed: Seed of the scenes. Default 0.
        cache_dir: Where the scenes are kept. Default ``$MMKD_CACHE``, else ``~/.cache/mmkd``.
        **kwargs: As for ``mmdet.datasets.CocoDataset`` (``pipeline``, ``test_mode``, ...).

    Raises:
        ValueError: If ``split``, ``num_images``, ``image_size`` or ``seed`` is out of its range.
        ImportError: If scikit-learn is missing.
    """

    METAINFO = {  # noqa: RUF012  (MMEngine's interface)
        'classes': tuple('0123456789'),
        'palette': [
            (230, 25, 75),
            (60, 180, 75),
            (255, 225, 25),
            (0, 130, 200),
            (245, 130, 48),
            (145, 30, 180),
            (70, 240, 240),
            (240, 50, 230),
            (128, 128, 0),
            (0, 0, 128),
        ],
    }

    def __init__(
        self,
        *,
        split: str = 'train',
        num_images: int = 500,
        image_size: int = 160,
        seed: int = 0,
        cache_dir: str | os.PathLike[str] | None = None,
        **kwargs: Any,
    ) -> None:
        folder = digit_scenes(split, num_images, image_size, seed, cache_dir)
        super().__init__(
            data_root=str(folder),
            ann_file='annotations.json',
            data_prefix={'img': 'images/'},
            **kwargs,
        )
