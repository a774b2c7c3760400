"""Digit scenes as files: PNG pictures and COCO annotations, drawn on first use."""

import json
import os
import uuid
from pathlib import Path
from typing import Literal, get_args

import cv2
import numpy as np

from mmkd.datasets.digits.scene_drawing import Scene, draw_scene
from mmkd.datasets.digits.source_digits import load_digits
from mmkd.functional.checks import check_choice

Split = Literal['train', 'val']
SPLITS = get_args(Split)
_DRAWING_VERSION = 1  # part of the folder's name; raise it when the drawing changes
_MIN_SIZE = 96  # the smallest digits have a fourteenth of it and must stay legible
_VAL_SHARE = 0.25


def digit_scenes(
    split: Split,
    num_images: int,
    image_size: int = 160,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Return a folder of scenes with handwritten digits, annotated in COCO's format.

    A scene has one to eight of scikit-learn's 1797 handwritten digits. They are slightly rotated
    and slanted, lighter or darker than the textured ground, and partly cover each other. Fragments
    of digits and other strokes lie between them. Training and validation scenes use different
    source digits, for every seed. Scene ``i`` depends only on ``split``, ``image_size``, ``seed``
    and ``i``, so a larger set begins with the smaller one.

    The folder holds ``images/*.png`` and ``annotations.json``. A box is tight around the digit's
    visible ink. ``area`` is the area of the box, so AP_S and AP_M refer to box sizes. A category's
    id is the digit. The first call draws the scenes, later calls find them. Several processes may
    call at once.

    Args:
        split: ``'train'`` or ``'val'``.
        num_images: Number of scenes, at least 1.
        image_size: Side of the square scenes in pixels, at least 96. At 160 (default), about half
            of the digits are small (under 32 x 32), 4 % are large and the rest medium.
        seed: Non-negative seed of the scenes. Default 0.
        cache_dir: Where to keep the files. Default ``$MMKD_CACHE``, else ``~/.cache/mmkd``.

    Raises:
        ValueError: If an argument is out of its range.
        ImportError: If scikit-learn is missing.

    Example:
        >>> import json, tempfile
        >>> with tempfile.TemporaryDirectory() as cache:
        ...     folder = digit_scenes('val', 2, cache_dir=cache)
        ...     annotations = json.loads((folder / 'annotations.json').read_text())
        >>> [image['file_name'] for image in annotations['images']]
        ['000000.png', '000001.png']
    """
    _check(split, num_images, image_size, seed)
    name = f'v{_DRAWING_VERSION}_{split}_{num_images}x{image_size}px_seed{seed}'
    folder = _cache_root(cache_dir) / 'digit_scenes' / name
    if not (folder / 'annotations.json').is_file():
        _write_scenes(folder, split, num_images, image_size, seed)
    return folder


def source_digits(split: Split) -> tuple[np.ndarray, np.ndarray]:
    """Return the source digits of a split.

    Args:
        split: ``'train'`` (three quarters of the digits) or ``'val'`` (the others).

    Returns:
        Glyphs of shape ``(n, 8, 8)``, float32, 0 (paper) to 1 (ink), and their values of shape
        ``(n,)``.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    glyphs, values = load_digits()
    # The split does not depend on the scenes' seed, so no training set shares digits with a
    # validation set.
    order = np.random.default_rng(0).permutation(len(values))
    num_val = round(_VAL_SHARE * len(order))
    chosen = order[:num_val] if split == 'val' else order[num_val:]
    return glyphs[chosen].astype(np.float32), values[chosen]


def _check(split: Split, num_images: int, image_size: int, seed: int) -> None:
    check_choice('split', split, SPLITS)
    if num_images < 1:
        raise ValueError(f'num_images: expected at least 1, got {num_images}')
    if image_size < _MIN_SIZE:
        raise ValueError(f'image_size: expected at least {_MIN_SIZE} pixels, got {image_size}')
    if seed < 0:
        raise ValueError(f'seed: expected a non-negative integer, got {seed}')


def _cache_root(cache_dir: str | os.PathLike[str] | None) -> Path:
    return Path(cache_dir or os.environ.get('MMKD_CACHE') or '~/.cache/mmkd').expanduser()


def _write_scenes(folder: Path, split: Split, num_images: int, image_size: int, seed: int) -> None:
    """Write the pictures, then the annotations, whose presence means that all files are there.

    Every file is moved into place whole, and its bytes depend only on the arguments. Processes
    that write at once replace files with equal ones.
    """
    (folder / 'images').mkdir(parents=True, exist_ok=True)
    glyphs, labels = source_digits(split)
    images: list[dict] = []
    annotations: list[dict] = []
    for index in range(num_images):
        rng = np.random.default_rng([seed, SPLITS.index(split), index])
        scene = draw_scene(rng, glyphs, labels, image_size)
        file_name = f'{index:06d}.png'
        _write_whole(folder / 'images' / file_name, cv2.imencode('.png', scene.image)[1].tobytes())
        images.append(
            {'id': index, 'file_name': file_name, 'width': image_size, 'height': image_size}
        )
        annotations.extend(_annotations(scene, index, first_id=len(annotations) + 1))
    content = {
        'info': {'description': f'mmkd digit scenes, {split}, seed {seed}'},
        'images': images,
        'annotations': annotations,
        'categories': [{'id': digit, 'name': str(digit)} for digit in range(10)],
    }
    _write_whole(folder / 'annotations.json', json.dumps(content).encode())


def _annotations(scene: Scene, image_id: int, first_id: int) -> list[dict]:
    """Return a scene's COCO annotations. Ids start at 1; 0 means 'unmatched' to pycocotools."""
    annotations = []
    for offset, (label, ink) in enumerate(zip(scene.labels, scene.visible_inks(), strict=True)):
        x, y, width, height = cv2.boundingRect(ink.astype(np.uint8))
        annotations.append(
            {
                'id': first_id + offset,
                'image_id': image_id,
                'category_id': label,
                'bbox': [x, y, width, height],
                'area': width * height,
                'iscrowd': 0,
            }
        )
    return annotations


def _write_whole(path: Path, content: bytes) -> None:
    partial = path.with_name(f'.{path.name}.{uuid.uuid4().hex}')
    partial.write_bytes(content)
    os.replace(partial, path)
