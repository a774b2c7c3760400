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

if TYPE_CHECKING:
    from matplotlib.axes import Axes

# Draw only the most confident of boxes with a larger IoU, regardless of class.
SAME_PLACE = 0.5

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


def _draw(axes: 'Axes', image: np.ndarray, boxes: Boxes, color: str) -> None:
    from matplotlib.patches import Rectangle

    axes.imshow(image)
    axes.set_axis_off()
    for (left, top, right, bottom), text in boxes:
        size = right - left, bottom - top
        axes.add_patch(Rectangle((left, top), *size, fill=False, color=color, linewidth=1.2))
        axes.text(left, top - 1, text, color='white', fontsize=6, va='bottom',
                  bbox=dict(facecolor=color, pad=0.5, linewidth=0))  # fmt: skip


def draw_detections(
    models: Mapping[str, BaseModel],
    dataset: BaseDataset,
    indices: Sequence[int],
    path: str | Path,
    *,
    threshold: float = 0.3,
) -> None:
    """Draw one row an image: the ground truth, then the boxes of each model, as a PNG.

    Args:
        models: Detectors by column title.
        dataset: Data set with annotations and a test pipeline.
        indices: Images to draw.
        path: File to write.
        threshold: Lowest score of a box to draw.
    """
    import mmcv
    from matplotlib.figure import Figure

    classes = dataset.metainfo['classes']
    predictions = {name: predict(model, dataset, indices) for name, model in models.items()}
    figure = Figure(figsize=(2.6 * (len(models) + 1), 2.7 * len(indices)), layout='constrained')
    grid = figure.subplots(len(indices), len(models) + 1, squeeze=False)
    for row, index in enumerate(indices):
        image = mmcv.imread(dataset.get_data_info(index)['img_path'], channel_order='rgb')
        _draw(grid[row, 0], image, _annotated(dataset, index, classes), 'tab:green')
        for column, samples in enumerate(predictions.values(), start=1):
            boxes = _predicted(samples[row], classes, threshold)
            _draw(grid[row, column], image, boxes, 'tab:red' if column == 1 else 'tab:blue')
    for axes, title in zip(grid[0], ['ground truth', *models], strict=True):
        axes.set_title(title, fontsize=10)
    figure.savefig(path, dpi=110)
