"""The ground-truth boxes of a batch, and boxes near them."""

from collections.abc import Sequence

import torch
from mmengine.structures import BaseDataElement
from torch import Tensor


def ground_truth_boxes(data_samples: Sequence[BaseDataElement]) -> Tensor:
    """Boxes of all instances.

    Args:
        data_samples: With ``gt_instances.bboxes``, as MMDetection's detectors take them.

    Returns:
        Index of the image, then left, top, right, bottom in pixels of the input. Shape (N, 5).
    """
    rows = []
    for index, sample in enumerate(data_samples):
        boxes = sample.gt_instances.bboxes
        corners = getattr(boxes, 'tensor', boxes)  # a Tensor, or MMDetection's HorizontalBoxes
        rows.append(torch.cat([corners.new_full((len(corners), 1), index), corners], 1))
    return torch.cat(rows)


def jittered(
    boxes: Tensor, amount: float, sizes: Sequence[tuple[int, int]], generator: torch.Generator
) -> Tensor:
    """Shift and scale boxes at random, within their images.

    Args:
        boxes: As of :func:`ground_truth_boxes`, shape (N, 5).
        amount: Largest shift in widths and heights of the box, and largest change of the logarithm
            of its sides; below 0.5, so that no box leaves the image.
        sizes: Height and width of each image in pixels.
        generator: A CPU generator, which draws four numbers a box.

    Returns:
        Shape (N, 5).
    """
    noise = torch.rand(len(boxes), 4, generator=generator).to(boxes) * 2 - 1
    index, corners = boxes[:, :1], boxes[:, 1:]
    side = corners[:, 2:] - corners[:, :2]
    center = (corners[:, 2:] + corners[:, :2]) / 2 + amount * noise[:, :2] * side
    half = side * (amount * noise[:, 2:]).exp() / 2
    limits = boxes.new_tensor(sizes).flip(-1)[index[:, 0].long()]  # width, height
    low = (center - half).clamp(min=0).minimum(limits)
    high = (center + half).clamp(min=0).minimum(limits)
    return torch.cat([index, low, high], 1)
