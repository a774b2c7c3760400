"""Digit scenes as files: PNG pictures and COCO annotations, made on first use and kept."""

import json
import os
import uuid
from pathlib import Path

import cv2
import numpy as np

from mmkd.datasets.digits.scene_drawing import Scene, draw_scene

SPLITS = ('train', 'val')
_DRAWING_VERSION = 1  # part of the folder's name; raise it when the drawing changes
_MIN_SIZE = 96  # the smallest digits (a fourteenth of it) would be illegible below
_VAL_SHARE = 0.25


def digit_scenes(
    split: str,
    num_images: int,
    image_size: int = 160,
    seed: int = 0,
    cache_dir: str | os.PathLike[str] | None = None,
) -> Path:
    """Folder of scenes of handwritten digits, annotated as COCO detection.

    Scikit-learn's 1797 handwritten digits, one to eight a scene, at sizes from
    a fourteenth to nine sixteenths of the scene, slightly rotated and slanted,
    in either polarity, partly covering each other, among fragments of digits
    and other strokes on a textured ground. Training and validation scenes use
    different source digits, whatever the seed. Scene ``i`` depends on
    ``split``, ``image_size``, ``seed`` and ``i`` alone, so a larger set begins
    with the smaller one.

    The folder holds ``images/*.png`` and ``annotations.json``. A box is the
    tight one around the digit's visible ink, ``area`` is the box's (so AP_S and
    AP_M mean box sizes), and a category's id is the digit. The folder is made
    on first use and found again afterwards; several processes may ask for it at once.

    Args:
        split: ``'train'`` or ``'val'``.
        num_images: Number of scenes, at least 1.
        image_size: Side of the square scenes in pixels, at least 96. Default 160,
            where about half of the digits are small (under 32 x 32), 4 % large and the rest medium.
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


def source_digits(split: str) -> tuple[np.ndarray, np.ndarray]:
    """The handwritten digits that a split's scenes are made of.

    Args:
        split: ``'train'`` (three quarters of the digits) or ``'val'`` (the others).

    Returns:
        Glyphs of shape ``(n, 8, 8)``, float32, 0 (paper) to 1 (ink), and their
        values of shape ``(n,)``.

    Raises:
        ImportError: If scikit-learn is missing.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'digit scenes need scikit-learn for its handwritten digits; '
            'install it with `pip install mmkd[all]`'
        ) from error
    digits = load_digits()
    # Not the scenes' seed: a training set of one seed must not meet a validation set of another.
    order = np.random.default_rng(0).permutation(len(digits.target))
    num_val = round(_VAL_SHARE * len(order))
    chosen = order[:num_val] if split == 'val' else order[num_val:]
    return (digits.images[chosen] / 16).astype(np.float32), digits.target[chosen]


def _check(split: str, num_images: int, image_size: int, seed: int) -> None:
    if split not in SPLITS:
        raise ValueError(f"split: expected 'train' or 'val', got {split!r}")
    if num_images < 1:
        raise ValueError(f'num_images: expected at least 1, got {num_images}')
    if image_size < _MIN_SIZE:
        raise ValueError(f'image_size: expected at least {_MIN_SIZE} pixels, got {image_size}')
    if seed < 0:
        raise ValueError(f'seed: expected a non-negative integer, got {seed}')


def _cache_root(cache_dir: str | os.PathLike[str] | None) -> Path:
    return Path(cache_dir or os.environ.get('MMKD_CACHE') or '~/.cache/mmkd').expanduser()


def _write_scenes(folder: Path, split: str, num_images: int, image_size: int, seed: int) -> None:
    """Write the pictures, and last the annotations, whose presence says that all is there.

    Every file is moved into place whole and its bytes follow from the
    arguments, so processes doing this at once replace files by their equals.
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
    """COCO annotations of a scene; ids start at 1, as 0 means 'unmatched' to pycocotools."""
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
