"""The demo's classification data: scikit-learn's handwritten digits."""

from typing import Any, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.datasets.digits.source_digits import load_digits
from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.functional.checks import check_choice
from mmkd.registry import DATASETS

_SIZE = 32
_VAL_SHARE = 1 / 3


@DATASETS.register_module()
class DigitsDataset(InMemoryDataset):
    """Scikit-learn's 1797 handwritten digits, 10 classes, as RGB images of 32 x 32.

    It needs no download. The 8 x 8 originals are enlarged bilinearly and scaled to 0 (paper) to 255
    (ink), with three equal channels. The split is fixed: a random third of each class, 599 images,
    is for validation, and 1198 images are for training.

    Args:
        split: ``'train'`` (default) or ``'val'``.
        flip: Whether augmentation mirrors half of the images. Default False, because a mirrored
            digit is no digit.
        **kwargs: Arguments of :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        ValueError: If ``split`` is unknown.
        ImportError: If scikit-learn is missing.

    Example:
        >>> len(DigitsDataset(split='train')), len(DigitsDataset(split='val'))
        (1198, 599)
    """

    def __init__(
        self, *, split: Literal['train', 'val'] = 'train', flip: bool = False, **kwargs: Any
    ) -> None:
        check_choice('split', split, ('train', 'val'))
        digits, labels = load_digits()
        is_val = _validation_mask(labels)
        chosen = is_val if split == 'val' else ~is_val
        metainfo = {'classes': tuple('0123456789'), 'dataset_type': 'digits'}
        images = _enlarge(digits[chosen])
        super().__init__(images, labels[chosen], metainfo=metainfo, flip=flip, **kwargs)


def _validation_mask(labels: np.ndarray) -> np.ndarray:
    """Return which samples are for validation: always the same third of every class."""
    rng = np.random.default_rng(0)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        mask[members[: round(_VAL_SHARE * len(members))]] = True
    return mask


def _enlarge(digits: np.ndarray) -> Tensor:
    """Convert (N, 8, 8) with values 0 to 1 to uint8 (N, 3, 32, 32)."""
    ink = torch.from_numpy(digits)[:, None] * 255
    large = F.interpolate(ink, size=_SIZE, mode='bilinear', align_corners=False)
    return large.round().to(torch.uint8).repeat(1, 3, 1, 1)
