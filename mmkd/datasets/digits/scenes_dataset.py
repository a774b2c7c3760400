"""The demo's detection data as an MMDetection data set."""

import os
from typing import Any

from mmdet.datasets import CocoDataset

from mmkd.datasets.digits.scene_files import Split, digit_scenes
from mmkd.registry import DATASETS

_PALETTE = [
    (230, 25, 75), (60, 180, 75), (255, 225, 25), (0, 130, 200), (245, 130, 48),
    (145, 30, 180), (70, 240, 240), (240, 50, 230), (128, 128, 0), (0, 0, 128),
]  # fmt: skip


@DATASETS.register_module()
class DigitScenesDataset(CocoDataset):
    """Scenes of handwritten digits; see :func:`mmkd.datasets.digits.digit_scenes`.

    It needs no download: the first use draws the scenes. It has ten classes and one to eight
    objects an image: small, medium and a few large ones in COCO's sense. The arguments determine
    ``ann_file``, ``data_root`` and ``data_prefix``, so you cannot pass these.

    Args:
        split: ``'train'`` (default) or ``'val'``. They share no source digit.
        num_images: Number of scenes. Default 500.
        image_size: Side of the square scenes in pixels. Default 160.
        seed: Seed of the scenes. Default 0.
        cache_dir: Where to keep the scenes. Default ``$MMKD_CACHE``, else ``~/.cache/mmkd``.
        **kwargs: Arguments of ``mmdet.datasets.CocoDataset`` (``pipeline``, ``test_mode``, ...).

    Raises:
        ValueError: If ``split``, ``num_images``, ``image_size`` or ``seed`` is out of its range.
        ImportError: If scikit-learn is missing.
    """

    METAINFO = {  # noqa: RUF012  (MMEngine's interface)
        'classes': tuple('0123456789'),
        'palette': _PALETTE,
    }

    def __init__(
        self,
        *,
        split: Split = 'train',
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
