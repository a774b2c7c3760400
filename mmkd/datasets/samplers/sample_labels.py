"""The label of each sample of a data set."""

from typing import Any

import numpy as np
from mmengine.dataset import RepeatDataset
from numpy.typing import NDArray
from torch.utils.data import ConcatDataset


def sample_labels(dataset: Any) -> NDArray[np.integer]:
    """Return the label of each sample, shape (N,), in the data set's order.

    Args:
        dataset: A classification data set of MMPretrain or mmkd (with ``get_gt_labels()``), or
            several, concatenated or repeated.

    Raises:
        TypeError: If it is another kind of data set.
        ValueError: If the labels are not one integer for each sample.
    """
    labels = np.asarray(_labels(dataset))
    if labels.shape != (len(dataset),) or not np.issubdtype(labels.dtype, np.integer):
        raise ValueError(
            f'dataset: expected one integer label for each of its {len(dataset)} samples, got '
            f'labels of shape {labels.shape} and type {labels.dtype}'
        )
    return labels


def _labels(dataset: Any) -> Any:
    if hasattr(dataset, 'get_gt_labels'):
        return dataset.get_gt_labels()
    if isinstance(dataset, ConcatDataset):
        return np.concatenate([_labels(part) for part in dataset.datasets])
    if isinstance(dataset, RepeatDataset):
        return np.tile(_labels(dataset.dataset), dataset.times)
    raise TypeError(
        'dataset: expected a classification data set with `get_gt_labels`, or several, '
        f'concatenated or repeated, got {type(dataset).__name__}'
    )
