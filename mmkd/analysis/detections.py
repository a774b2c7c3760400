"""Pictures of the ground truth beside the boxes of several detectors."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from mmengine.dataset import BaseDataset, pseudo_collate
from mmengine.model import BaseModel
from mmengine.structures import BaseDataElement
from torchvision.ops import nms

from mmkd.analysis.score_threshold import best_threshold

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Draw only the most confident of boxes with a larger IoU, regardless of class.
SAME_PLACE = 0.5
# Width and height of a letter of a label, as parts of the image's width.
LETTER = 0.022, 0.05

Boxes = Sequence[tuple[np.ndarray, str]]


@torch.no_grad()
def predict(
    model: BaseModel, dataset: BaseDataset, indices: Sequence[int]
) -> list[BaseDataElement]:
    """Run a detector on some images of a data set.

    Returns:
        One data sample an image, with boxes in pixels of the image file.
    """
    batch = pseudo_collate([dataset[index] for index in indices])
    return model.eval().test_step(batch)


def _predicted(sample: BaseDataElement, classes: Sequence[str], threshold: float) -> Boxes:
    found = sample.pred_instances.cpu()
    found = found[found.scores >= threshold]
    found = found[nms(found.bboxes, found.scores, SAME_PLACE)].numpy()
    return [
        (box, f'{classes[label]} {score:.2f}')
        for box, label, score in zip(found.bboxes, found.labels, found.scores, strict=True)
    ]


def _annotated(dataset: BaseDataset, index: int, classes: Sequence[str]) -> Boxes:
    instances = dataset.get_data_info(index)['instances']
    return [(np.array(i['bbox']), classes[i['bbox_label']]) for i in instances]


def _threshold(
    samples: Sequence[BaseDataElement], dataset: BaseDataset, indices: Sequence[int]
) -> float:
    """The score at which a model has its best F1 over the drawn images."""
    images = []
    for sample, index in zip(samples, indices, strict=True):
        found = sample.pred_instances.cpu()
        found = found[nms(found.bboxes, found.scores, SAME_PLACE)]
        instances = dataset.get_data_info(index)['instances']
        boxes = torch.tensor([i['bbox'] for i in instances]).view(-1, 4)
        labels = torch.tensor([i['bbox_label'] for i in instances], dtype=torch.long)
        images.append((found.bboxes, found.scores, found.labels, boxes, labels))
    return best_threshold(images)


def _draw(axes: 'Axes', image: np.ndarray, boxes: Boxes, color: str) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image)
    axes.set_axis_off()
    placed: list[tuple[float, float, float]] = []
    for (left, top, right, bottom), text in boxes:
        size = right - left, bottom - top
        axes.add_patch(Rectangle((left, top), *size, fill=False, color=color, linewidth=1.2))
        x, y = _label_place(left, top - 1, len(text), image.shape, placed)
        axes.text(x, y, text, color='white', fontsize=6, va='bottom',
                  bbox=dict(facecolor=color, pad=0.5, linewidth=0))  # fmt: skip


def _label_place(
    left: float, bottom: float, letters: int, shape: Sequence[int], placed: list
) -> tuple[float, float]:
    """The place nearest to (left, bottom) where a label is in the image and covers no other.

    Args:
        left: Left edge in pixels of the image.
        bottom: Lower edge.
        letters: Number of letters.
        shape: Height and width of the image.
        placed: Left edge, lower edge and width of the labels so far. The new one is added.
    """
    width, height = LETTER[0] * letters * shape[1], LETTER[1] * shape[1]
    x = max(0.0, min(left, shape[1] - width))
    bottom = max(height, min(bottom, shape[0]))
    steps = sorted(range(-2 * len(placed), 2 * len(placed) + 1), key=abs)
    places = [y for step in steps if height <= (y := bottom + step * height) <= shape[0]]

    def free(y: float) -> bool:
        return all(
            abs(y - other) >= height or x >= start + length or start >= x + width
            for start, other, length in placed
        )

    y = next(filter(free, places), places[0])
    placed.append((x, y, width))
    return x, y


def draw_detections(
    models: Mapping[str, BaseModel],
    dataset: BaseDataset,
    indices: Sequence[int],
    path: str | Path,
    *,
    threshold: float | None = None,
) -> None:
    """Draw one row an image: the ground truth, then the boxes of each model, as a PNG.

    Args:
        models: Detectors by column title.
        dataset: Data set with annotations and a test pipeline.
        indices: Images to draw.
        path: File to write.
        threshold: Lowest score of a box to draw. Default: for each model, the score at which its F1
            over the drawn images is best (see ``score_threshold.best_threshold``). The column's
            title says it.
    """
    import mmcv
    from matplotlib.figure import Figure

    classes = dataset.metainfo['classes']
    predictions = {name: predict(model, dataset, indices) for name, model in models.items()}
    thresholds = {
        name: _threshold(samples, dataset, indices) if threshold is None else threshold
        for name, samples in predictions.items()
    }
    figure = Figure(figsize=(2.6 * (len(models) + 1), 2.7 * len(indices)), layout='constrained')
    grid = figure.subplots(len(indices), len(models) + 1, squeeze=False)
    for row, index in enumerate(indices):
        image = mmcv.imread(dataset.get_data_info(index)['img_path'], channel_order='rgb')
        _draw(grid[row, 0], image, _annotated(dataset, index, classes), 'tab:green')
        for column, (name, samples) in enumerate(predictions.items(), start=1):
            boxes = _predicted(samples[row], classes, thresholds[name])
            _draw(grid[row, column], image, boxes, 'tab:red' if column == 1 else 'tab:blue')
    titles = [f'{name}\nscore ≥ {lowest:.2f}' for name, lowest in thresholds.items()]
    for axes, title in zip(grid[0], ['ground truth', *titles], strict=True):
        axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=110)
