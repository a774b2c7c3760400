"""How the fused kernels of PCKA divide their work: tiles, blocks, and the table that they read."""

import functools
from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from mmkd.functional.kernel_alignment.patches import Patching

# Dimensions of a map (B, C, H, W): members of a group, groups, rows, columns.
ORDER = {'channel': (0, 1, 2, 3), 'batch': (1, 0, 2, 3)}
TILES = (32, 128)  # possible sides of a tile; few, for each combination is compiled
PROGRAMS = 256  # about two for each multiprocessor of a large GPU
_PATCH_PIXELS = 16  # of each patch, in a block
_COMPARED = 2048  # elements of a Gram matrix in a block


class Level(NamedTuple):
    """How a level is cut."""

    height: int
    width: int
    columns: int
    patches: int
    patch_size: int

    @property
    def stretched(self) -> tuple[int, int]:
        """Height and width of all patches together."""
        return self.patches // self.columns * self.patch_size, self.columns * self.patch_size

    @property
    def tiles(self) -> int:
        """Tiles along a side of the Gram matrix."""
        return -(-self.patches // self.tile)

    @property
    def tile(self) -> int:
        """Side of a tile."""
        return TILES[0] if self.patches <= TILES[0] else TILES[1]

    @property
    def shape(self) -> tuple[int, ...]:
        """T, TILES, KU, KV and CHUNKS of ``pcka_kernels``."""
        columns = min(_power_of_2(self.patch_size), _PATCH_PIXELS)
        chunks = -(-self.patch_size // columns)
        return self.tile, self.tiles, _PATCH_PIXELS // columns, columns, chunks

    @property
    def taps(self) -> int:
        """How many rows, or columns, of the stretched map read one of the map, at most."""
        tall, wide = self.stretched
        return max(-(-2 * tall // self.height), -(-2 * wide // self.width))

    def scratch(self, taps: int) -> int:
        """Values that the gradient of a stretched map goes through."""
        slots = min(self.patch_size, 2 * (taps - 1) + self.shape[2])
        return self.patches * slots * self.patch_size


class Layout(NamedTuple):
    """The work of the kernels for some levels."""

    levels: tuple[Level, ...]
    members: int
    groups: int
    stretch: bool

    @property
    def splits(self) -> int:
        """Parts of the members in a sum. Few groups of many have several, to keep a GPU busy."""
        return max(1, min(PROGRAMS // (2 * self.groups), self.members // 8))

    @property
    def areas(self) -> list[int]:
        """Elements of all N x N matrices of each level."""
        return [self.groups * level.patches**2 for level in self.levels]

    @property
    def compared(self) -> tuple[int, int]:
        """Columns and rows of a block of the comparison."""
        columns = _power_of_2(max(level.patches for level in self.levels))
        return columns, max(1, _COMPARED // columns)

    @property
    def taps(self) -> int:
        """TAPS of ``pcka_kernels``."""
        return max(3, *(level.taps for level in self.levels))


def layout_of(students: Sequence[Tensor], patchings: Sequence[Patching]) -> Layout:
    """How to compare maps with these (B, C, H, W)."""
    members, groups = (students[0].shape[dim] for dim in ORDER[patchings[0].average][:2])
    levels = tuple(map(_level, students, patchings))
    exact = all(level.stretched == (level.height, level.width) for level in levels)
    return Layout(levels, members, groups, patchings[0].fit == 'resize' and not exact)


def table_of(layout: Layout, strides: Sequence[tuple[int, ...]], device: torch.device) -> Tensor:
    """The table of ``pcka_kernels``. Equal ones are copied to the device once."""
    rows = []
    for i, level in enumerate(layout.levels):
        before = sum(layout.areas[:i])
        own = sum(strides[i :: len(layout.levels)], ())
        rows.append((*level, 2 * layout.splits * before, before, *own))
    return _on_device(tuple(rows), device)


def strides_of(feature: Tensor, average: str) -> tuple[int, ...]:
    """Strides of member, group, row and column."""
    return tuple(feature.stride(dim) for dim in ORDER[average])


@functools.cache
def _on_device(rows: tuple[tuple[int, ...], ...], device: torch.device) -> Tensor:
    return torch.tensor(rows, dtype=torch.int32).to(device)


def _level(student: Tensor, patching: Patching) -> Level:
    height, width = student.shape[2:]
    side = patching.patch_size
    rows, columns = -(-height // side), -(-width // side)
    return Level(height, width, columns, rows * columns, side)


def _power_of_2(number: int) -> int:
    """The next one."""
    return 1 << (number - 1).bit_length()
