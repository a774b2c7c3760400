"""Compare the labels of a classification data set with the outputs of the model's heads."""

from collections.abc import Iterator, Mapping
from numbers import Integral
from typing import Any

import numpy as np


def has_single_labels(dataset: Any) -> bool:
    """Whether a data set, not empty, gives one integer label an image.

    Not so: several labels an image, one a task, or none (unlabeled).

    Args:
        dataset: Has ``get_data_info``, as MMPretrain's data sets do.
    """
    return isinstance(dataset.get_data_info(0).get('gt_label'), Integral)


def label_problems(dataset: Any, heads: Mapping[str, Any]) -> Iterator[str]:
    """What is wrong, a head at a time, with labels that it has no output for.

    On a GPU such a label ends in a device-side assertion that names neither it nor its sample.

    Args:
        dataset: Has ``get_gt_labels``, as MMPretrain's data sets do; one label an image.
        heads: Modules with ``num_classes``, by config key.
    """
    labels = dataset.get_gt_labels() if heads else np.empty(0)
    for key, head in heads.items():
        outside = np.flatnonzero((labels < 0) | (labels >= head.num_classes))
        if len(outside):
            others = f' (and {len(outside) - 1} more samples)' if len(outside) > 1 else ''
            yield (
                f'{type(dataset).__name__}: label {labels[outside[0]]} of sample {outside[0]}'
                f'{others} is outside [0, {head.num_classes}), the outputs of {key}; labels count '
                f'from 0: correct them, or raise {key}.num_classes'
            )
