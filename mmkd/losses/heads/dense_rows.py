"""Predictions of dense heads as rows, one for each location of all levels."""

from collections.abc import Sequence

import torch
from torch import Tensor

from mmkd.functional.checks import as_levels


def dense_rows(**maps: Tensor | Sequence[Tensor]) -> list[Tensor]:
    """Flatten maps (B, C, H, W) of all levels to rows (N, C).

    Args:
        **maps: A Tensor, or one for each level, under its name in errors. All have the same
            batch, levels and sizes; channels may differ.

    Returns:
        One Tensor (N, C) for each argument, in the same order of locations.

    Raises:
        TypeError: If an argument is neither a Tensor nor a sequence of Tensors.
        ValueError: If a map has another number of dimensions, or levels differ.

    Example:
        >>> [rows] = dense_rows(student=torch.zeros(2, 5, 4, 3))
        >>> tuple(rows.shape)
        (24, 5)
    """
    rows = [[_rows(name, level) for level in as_levels(name, of)] for name, of in maps.items()]
    sizes = [[len(level) for level in levels] for levels in rows]
    for name, found in zip(maps, sizes, strict=True):
        if found != sizes[0]:
            raise ValueError(
                f"{name}: expected the {next(iter(maps))}'s locations on each level, {sizes[0]}, "
                f'got {found}; record the same levels of both heads'
            )
    return [torch.cat(levels) for levels in rows]


def _rows(name: str, level: Tensor) -> Tensor:
    if level.ndim != 4:
        raise ValueError(f'{name}: expected maps (B, C, H, W), got {tuple(level.shape)}')
    return level.permute(0, 2, 3, 1).flatten(0, 2)
