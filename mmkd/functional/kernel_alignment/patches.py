"""Cutting feature maps into square patches."""

from typing import Literal, NamedTuple, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from mmkd.functional.checks import check_choice, check_positive_int

Average = Literal['channel', 'batch', 'spatial']
Fit = Literal['resize', 'pad']

# Order of the axes of a map (B, C, rows, p, columns, p): groups, patches, features.
_AXES: dict[Average, tuple[int, ...]] = {
    'channel': (1, 2, 4, 0, 3, 5),
    'batch': (0, 2, 4, 1, 3, 5),
    'spatial': (3, 5, 2, 4, 0, 1),
}


class Patching(NamedTuple):
    """How ``to_patches`` cuts maps."""

    patch_size: int
    average: Average
    fit: Fit


def fitting_patch_size(size: tuple[int, int], patch_size: int, min_patches: int) -> int | None:
    """Halve the patch size until a map gives enough patches.

    Args:
        size: Height and width of the map in pixels. The last patch of a row may be partial.
        patch_size: Preferred side of a patch in pixels.
        min_patches: How many patches are enough.

    Returns:
        The patch size, or None if the map has fewer than ``min_patches`` pixels.

    Example:
        >>> fitting_patch_size((13, 21), patch_size=16, min_patches=4)
        8
    """
    height, width = size
    while -(-height // patch_size) * -(-width // patch_size) < min_patches:
        if patch_size == 1:
            return None
        patch_size //= 2
    return patch_size


def to_patches(
    feature: Tensor, patch_size: int, *, average: Average = 'channel', fit: Fit = 'resize'
) -> Tensor:
    """Cut a feature map into N patches, the rows of G matrices.

    Zhou et al., IJCAI 2024, sec. 3.4 and Table 5: <https://arxiv.org/abs/2401.11824>.

    Args:
        feature: Shape (B, C, H, W).
        patch_size: Side p of a patch in pixels.
        average: What the G matrices stand for. ``'channel'``: G = C, D = B p p. ``'batch'``
            (images): G = B, D = C p p. ``'spatial'`` (positions in a patch): G = p p, D = B C.
        fit: What to do if H or W is not a multiple of p. ``'resize'`` stretches the map bilinearly
            to the next multiple. ``'pad'`` adds zeros at the bottom and the right.

    Returns:
        Shape (G, N, D), always a new tensor, with the patches in row-major order.

    Raises:
        ValueError: If an argument has the wrong shape or is none of its choices.

    Example:
        >>> to_patches(torch.arange(8.0).view(1, 1, 2, 4), 2)
        tensor([[[0., 1., 4., 5.],
                 [2., 3., 6., 7.]]])
    """
    check_feature_map('feature', feature)
    check_positive_int('patch_size', patch_size)
    check_choice('average', average, get_args(Average))
    check_choice('fit', fit, get_args(Fit))
    feature = _fit(feature, patch_size, fit)
    grid = feature.unflatten(3, (-1, patch_size)).unflatten(2, (-1, patch_size))
    # reshape alone may return a view of the caller's map.
    patches = grid.permute(_AXES[average]).clone(memory_format=torch.contiguous_format)
    groups = 2 if average == 'spatial' else 1
    return patches.flatten(groups + 2).flatten(groups, groups + 1).flatten(0, groups - 1)


def check_feature_map(name: str, feature: Tensor) -> None:
    """Raise ValueError, naming ``name``, unless ``feature`` is (B, C, H, W) and not empty."""
    if feature.ndim != 4 or feature.numel() == 0:
        raise ValueError(f'{name}: expected a shape (B, C, H, W), got {tuple(feature.shape)}')


def _fit(feature: Tensor, patch_size: int, fit: str) -> Tensor:
    height, width = feature.shape[-2:]
    bottom, right = -height % patch_size, -width % patch_size
    if not (bottom or right):
        return feature
    if fit == 'pad':
        return F.pad(feature, (0, right, 0, bottom))
    size = (height + bottom, width + right)
    return F.interpolate(feature, size, mode='bilinear', align_corners=False)
