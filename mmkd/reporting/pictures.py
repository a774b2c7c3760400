"""Validation images on which the best method and the student alone differ most."""

import base64
import io
from collections.abc import Sequence
from typing import Any

import numpy as np
from mmengine.config import Config
from mmengine.registry import DefaultScope
from PIL import Image

from mmkd.registry import DATASETS
from mmkd.reporting.classification_scores import ClassificationScores
from mmkd.reporting.detection_scores import DetectionScores
from mmkd.reporting.predictions import Classifications, Detections

Scores = DetectionScores | ClassificationScores
# Pictures of gains, and as many of losses.
SHOWN = 6
# Longer side of a thumbnail in pixels; small images are enlarged in the page.
SIZE = 320


def most_changed(before: Scores, after: Scores) -> tuple[list[int], list[int]]:
    """Return the images that gained most and those that lost most, the largest change first.

    Among equal changes those with more objects come first.

    Args:
        before: Scores of the student alone.
        after: Scores of the distilled student.
    """
    change = after.quality() - before.quality()
    objects = (
        after.right + after.missed if isinstance(after, DetectionScores) else np.zeros(len(change))
    )
    order = np.lexsort((-objects, -change))
    gained = [int(index) for index in order[:SHOWN] if change[index] > 0]
    order = np.lexsort((-objects, change))
    return gained, [int(index) for index in order[:SHOWN] if change[index] < 0]


def detection_picture(
    index: int, names: Sequence[str], found: Sequence[Detections], scores: Sequence[DetectionScores]
) -> dict[str, Any]:
    """A thumbnail with the true boxes, and those of each model above its threshold.

    Args:
        index: The image.
        names: The models.
        found: Their predictions.
        scores: Their scores.

    Raises:
        OSError: If the image cannot be read.
    """
    import mmcv

    path = str(found[0].paths[index])
    image = mmcv.imread(path, channel_order='rgb')
    thumbnail, scale = _thumbnail(image)
    panels = []
    for name, each, score in zip(names, found, scores, strict=True):
        objects, boxes = each.of_image(index)
        kept = [i for i in range(boxes.start, boxes.stop) if each.scores[i] >= score.threshold]
        panels.append(
            dict(
                name=name,
                quality=round(float(score.quality()[index])),
                truth=[
                    dict(
                        **_box(each.truth_boxes[i] * scale),
                        label=each.classes[each.truth[i]],
                        right=bool(score.is_found[i]),
                    )
                    for i in range(objects.start, objects.stop)
                ],
                boxes=[
                    dict(
                        **_box(each.boxes[i] * scale),
                        label=f'{each.classes[each.answers[i]]} {each.scores[i]:.2f}',
                        right=bool(score.is_right[i]),
                    )
                    for i in kept
                ],
            )
        )
    return dict(name=path.rpartition('/')[2], panels=panels, **thumbnail)


def classification_pictures(
    indices: Sequence[int],
    names: Sequence[str],
    found: Sequence[Classifications],
    config: Config,
) -> list[dict[str, Any]]:
    """Thumbnails with the true class and the answer of each model.

    Args:
        indices: The images.
        names: The models.
        found: Their predictions.
        config: The student's config, for the images as the network gets them.
    """
    pictures = []
    with DefaultScope.overwrite_default_scope(config.get('default_scope')):
        dataset = DATASETS.build(config.val_dataloader.dataset)
        for index in indices:
            thumbnail, _ = _thumbnail(_image(dataset[index]['inputs'], config))
            answers = [
                dict(
                    name=name,
                    label=each.classes[each.answers[index]],
                    score=round(100 * float(each.scores[index])),
                    right=bool(each.answers[index] == each.truth[index]),
                )
                for name, each in zip(names, found, strict=True)
            ]
            truth = found[0].classes[found[0].truth[index]]
            pictures.append(dict(name=f'image {index}', truth=truth, answers=answers, **thumbnail))
    return pictures


def _image(inputs: Any, config: Config) -> np.ndarray:
    """An image (H, W, 3), RGB, of a network's input before normalization."""
    preprocessor = config.model.get('data_preprocessor') or config.get('data_preprocessor') or {}
    image = inputs.cpu().numpy()
    if preprocessor.get('to_rgb') or preprocessor.get('bgr_to_rgb'):
        image = image[::-1]
    if image.dtype != np.uint8:
        low, high = float(image.min()), float(image.max())
        image = ((image - low) * (255 / max(high - low, 1e-6))).astype(np.uint8)
    return np.ascontiguousarray(image.transpose(1, 2, 0))


def _thumbnail(image: np.ndarray) -> tuple[dict[str, Any], float]:
    """A small WebP as a data URI with its size, and the scale of its pixels."""
    scale = min(1.0, SIZE / max(image.shape[:2]))
    width, height = (max(1, round(side * scale)) for side in (image.shape[1], image.shape[0]))
    picture = Image.fromarray(image).convert('RGB').resize((width, height))
    file = io.BytesIO()
    picture.save(file, 'WEBP', quality=80)
    text = base64.b64encode(file.getvalue()).decode()
    return dict(uri=f'data:image/webp;base64,{text}', width=width, height=height), scale


def _box(box: np.ndarray) -> dict[str, float]:
    left, top, right, bottom = (round(float(value), 1) for value in box)
    return dict(x=left, y=top, width=max(1, right - left), height=max(1, bottom - top))
