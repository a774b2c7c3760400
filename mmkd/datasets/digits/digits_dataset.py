"""The embedded classification data: scikit-learn's handwritten digits."""

from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.datasets.in_memory import InMemoryDataset
from mmkd.registry import DATASETS

_SIZE = 32
_MAX_INK = 16  # scikit-learn's gray levels are 0 to 16
_VAL_SHARE = 1 / 3


@DATASETS.register_module()
class DigitsDataset(InMemoryDataset):
    """Scikit-learn's 1797 handwritten digits, 10 classes, as RGB images of 32 x 32.

    Needs no download. The 8 x 8 originals are enlarged bilinearly and scaled to 0 (paper) to 255
    (ink), the same in the three channels. The split is fixed, by class at random: a third of each
    digit is for validation, which makes 1198 training and 599 validation images.

    Args:
        split: ``'train'`` or ``'val'``. Default ``'train'``.
        flip: Whether augmentation mirrors half of the images. Default False: a mirrored digit is
            none.
        **kwargs: As for :class:`InMemoryDataset` (``augment``, ``num_samples``, ...).

    Raises:
        ValueError: If ``split`` is neither.
        ImportError: If scikit-learn is missing.

    Example:
        >>> len(DigitsDataset(split='train')), len(DigitsDataset(split='val'))
        (1198, 599)
    """

    def __init__(self, *, split: str = 'train', flip: bool = False, **kwargs: Any) -> None:
        if split not in ('train', 'val'):
            raise ValueError(f"split: expected 'train' or 'val', got {split!r}")
        digits, labels = _load_digits()
        is_val = _validation_mask(labels)
        chosen = is_val if split == 'val' else ~is_val
        metainfo = {'classes': tuple('0123456789'), 'dataset_type': 'digits'}
        images = _enlarge(digits[chosen])
        super().__init__(images, labels[chosen], metainfo=metainfo, flip=flip, **kwargs)


def _load_digits() -> tuple[np.ndarray, np.ndarray]:
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise ImportError(
            'the digits come with scikit-learn; install it with `pip install mmkd[all]`'
        ) from error
    digits = load_digits()
    return digits.images, digits.target


def _validation_mask(labels: np.ndarray) -> np.ndarray:
    """Which samples are for validation: the same share of every class, always the same ones."""
    rng = np.random.default_rng(0)
    mask = np.zeros(len(labels), bool)
    for label in np.unique(labels):
        members = rng.permutation(np.flatnonzero(labels == label))
        mask[members[: round(_VAL_SHARE * len(members))]] = True
    return mask


def _enlarge(digits: np.ndarray) -> Tensor:
    """(N, 8, 8) of 0 to 16 to uint8 (N, 3, 32, 32)."""
    ink = torch.from_numpy(digits)[:, None] * (255 / _MAX_INK)
    large = F.interpolate(ink, size=_SIZE, mode='bilinear', align_corners=False)
    return large.round().to(torch.uint8).repeat(1, 3, 1, 1)
