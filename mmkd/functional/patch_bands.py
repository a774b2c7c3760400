"""Cutting maps into patches by products with band matrices, and the way back.

Stretching an axis to a multiple of the patch size and cutting it is linear. The part of it that
makes one patch looks at few pixels in a row: a small matrix, of which a fast product exists on
every CPU, where stretching and copying each take longer.
"""

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F


class Band(NamedTuple):
    """What of one axis makes one patch."""

    pixels: slice  # those that it looks at
    weights: Tensor  # (pixels, p)


@lru_cache(maxsize=256)
def bands(size: int, patch_size: int, fit: str, dtype: torch.dtype) -> tuple[Band, ...]:
    """Bands of all patches along an axis of ``size`` pixels; see :func:`to_patches` for ``fit``."""
    every_pixel = torch.eye(size, dtype=dtype)
    missing = -size % patch_size
    if fit == 'pad':
        stretched = F.pad(every_pixel, (0, missing))
    else:
        stretched = F.interpolate(every_pixel[None], size + missing, mode='linear')[0]
    return tuple(_band(part) for part in stretched.split(patch_size, dim=1))


def _band(part: Tensor) -> Band:
    used = part.any(1).nonzero().flatten()
    pixels = slice(int(used[0]), int(used[-1]) + 1)
    return Band(pixels, part[pixels].contiguous())


class PatchCutter:
    """Cuts maps of one shape as :func:`to_patches` does, but for the order of the patches.

    Its memory is used again by every call: what a call returns holds until the next one.

    Args:
        shape: Of the maps, (G, D, H, W): groups, maps of a group, height, width.
        patch_size: Side p of a patch in pixels.
        fit: ``'resize'`` or ``'pad'``; see :func:`to_patches`.
        dtype: float32 or float64.
    """

    def __init__(
        self, shape: tuple[int, int, int, int], patch_size: int, fit: str, dtype: torch.dtype
    ) -> None:
        groups, depth, height, width = shape
        self._rows = bands(height, patch_size, fit, dtype)
        self._columns = bands(width, patch_size, fit, dtype)
        rows, columns, planes = len(self._rows), len(self._columns), groups * depth
        self._maps = torch.empty(shape, dtype=dtype)
        self._planes = self._maps.view(planes, height, width)
        self._strips = self._maps.new_empty(rows, planes, patch_size, width)
        self._lines = self._strips.view(-1, width)
        self._patches = self._maps.new_empty(columns, len(self._lines), patch_size)
        self._shape = (rows * columns, groups, depth * patch_size**2)
        self._product: Tensor | None = None

    def cut(self, maps: Tensor) -> Tensor:
        """Patches, shape (N, G, D p p) in column-major order, of maps of any layout and dtype."""
        self._maps.copy_(maps)
        for strip, band in zip(self._strips, self._rows, strict=True):
            torch.matmul(band.weights.mT, self._planes[:, band.pixels], out=strip)
        for patch, band in zip(self._patches, self._columns, strict=True):
            torch.mm(self._lines[:, band.pixels], band.weights, out=patch)
        return self._patches.view(self._shape)

    def join_product(self, weights: Tensor) -> Tensor:
        """:meth:`join` of the patches that were cut last, times weights (G, N, N)."""
        rows = self._patches.view(self._shape).transpose(0, 1)
        if self._product is None:
            self._product = rows.new_empty(rows.shape)
        rows.copy_(torch.bmm(weights, rows, out=self._product))
        return self.join(self._patches)

    def join(self, patches: Tensor) -> Tensor:
        """Adjoint of :meth:`cut`: the gradient of maps from that of their patches, contiguous."""
        self._lines.zero_()
        for patch, band in zip(patches.view_as(self._patches), self._columns, strict=True):
            self._lines[:, band.pixels].addmm_(patch, band.weights.mT)
        self._planes.zero_()
        for strip, band in zip(self._strips, self._rows, strict=True):
            self._planes[:, band.pixels] += band.weights @ strip
        return self._maps
