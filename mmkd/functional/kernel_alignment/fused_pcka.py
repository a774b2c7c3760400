"""PCKA of all levels of two pyramids in three Triton kernels, on a GPU.

The first kernel stretches, cuts and centers the patches of both networks and multiplies them, all
while it reads each map once. The second compares the N x N matrices. The third, in the backward
pass, makes the student's patches again, multiplies them by an N x N matrix and writes the gradient
of the map, which gathers what the stretched map has read. Sums have a fixed order.

Maps in half precision are multiplied in TF32, which holds their values. So are those in float32 if
``torch.set_float32_matmul_precision`` allows it, and else with three products in TF32, which are
about as exact as float32. Sums are in float32.
"""

import functools
import importlib.util
import logging
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.functional.kernel_alignment.fused_layout import (
    ORDER,
    PROGRAMS,
    TILES,
    Layout,
    layout_of,
    strides_of,
    table_of,
)
from mmkd.functional.kernel_alignment.patches import Patching

_MOST_PATCHES = 4 * TILES[-1]
_MOST_TAPS = 4  # rows of a stretched map that read one of the map: all, if there are two patches
_PIXELS = 512  # of the gradient, gathered at once
_SHARED_MEMORY = 160 * 2**10  # bytes that the kernels may take
_OLDEST_TRITON = (3, 8)  # 3.3, 3.4 and 3.5 do not compile the kernels
_TYPES = (torch.float32, torch.float16, torch.bfloat16)


def why_not_fused(
    students: Sequence[Tensor], teachers: Sequence[Tensor], patchings: Sequence[Patching]
) -> str | None:
    """Reason why ``fused_pcka`` cannot compare these maps, or None if it can.

    Maps are (B, C, H, W) and have equal shapes, level by level.
    """
    maps = [*students, *teachers]
    if not all(m.is_cuda for m in maps):
        return 'not all maps are on a GPU'
    if torch.compiler.is_compiling() or any(map(_is_transformed, maps)):
        return 'torch.compile or torch.func transforms the function'
    if not _has_triton():
        return 'Triton is not installed, or older than 3.8'
    properties = torch.cuda.get_device_properties(maps[0].device)
    if getattr(properties, 'shared_memory_per_block_optin', 0) < _SHARED_MEMORY:
        return 'the GPU has too little shared memory'
    return why_not_supported(students, teachers, patchings)


def why_not_supported(
    students: Sequence[Tensor], teachers: Sequence[Tensor], patchings: Sequence[Patching]
) -> str | None:
    """The part of ``why_not_fused`` that does not depend on the machine."""
    maps = [*students, *teachers]
    if any(teacher.requires_grad for teacher in teachers):
        return 'a teacher requires a gradient'
    if any(m.dtype not in _TYPES for m in maps):
        return 'a map is neither float32 nor float16 nor bfloat16'
    if len({(*m.shape[:2], m.device) for m in maps}) > 1:
        return 'the levels differ in images, channels or devices'
    if len({p._replace(patch_size=1) for p in patchings}) > 1 or patchings[0].average not in ORDER:
        return 'the average is over positions, or not the same for all levels'
    layout = layout_of(students, patchings)
    if any(level.patches > _MOST_PATCHES for level in layout.levels):
        return f'a level has more than {_MOST_PATCHES} patches'
    if layout.stretch and layout.taps > _MOST_TAPS:
        return 'a map is stretched more than twofold'
    if max(2 * layout.splits * sum(layout.areas), *map(_extent, maps)) >= 2**31:
        return 'the maps need offsets of 64 bits'
    return None


def fused_pcka(
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    patchings: Sequence[Patching],
    center: bool,
    unbiased: bool,
) -> Tensor:
    """Mean CKA over the groups of each level, shape (levels,), in float32.

    Values beyond about 1e15, which the plain computation scales down, overflow and give NaN.

    Args:
        students: Maps (B, C, H, W) for which ``why_not_fused`` is None.
        teachers: Maps of the same shapes. They get no gradient.
        patchings: How to cut each level.
        center: See ``pcka``.
        unbiased: See ``pcka``.
    """
    return _FusedPCKA.apply(center, unbiased, tuple(patchings), *students, *teachers)


@functools.cache
def log_reason(reason: str) -> None:
    """Say once, at debug level, why the plain computation is used."""
    logging.getLogger(__name__).debug('PCKA without its fused kernels: %s', reason)


class _FusedPCKA(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any, center: bool, unbiased: bool, patchings: tuple[Patching, ...], *maps: Tensor
    ) -> Tensor:
        students = maps[: len(maps) // 2]
        layout, average = layout_of(students, patchings), patchings[0].average
        gradients = [torch.empty_like(student, device='meta') for student in students]
        strides = [strides_of(m, average) for m in (*maps, *gradients)]
        table = table_of(layout, strides, maps[0].device)
        similarities, factors = _compare(maps, layout, table, center, unbiased)
        ctx.layout, ctx.center = layout, center
        ctx.save_for_backward(factors, table, *students)
        return similarities.mean(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scales: Tensor) -> tuple[Tensor | None, ...]:
        factors, table, *students = ctx.saved_tensors
        gradients = _gradients(tuple(students), ctx.layout, table, factors, scales, ctx.center)
        return None, None, None, *gradients, *[None] * len(students)


def _compare(
    maps: tuple[Tensor, ...], layout: Layout, table: Tensor, center: bool, unbiased: bool
) -> tuple[Tensor, Tensor]:
    """Similarities (levels, groups), and the N x N factors of the gradients of all levels."""
    from mmkd.functional.kernel_alignment.pcka_kernels import compare_kernel, gram_kernel

    levels, groups, splits = layout.levels, layout.groups, layout.splits
    grams = maps[0].new_empty(2 * splits * sum(layout.areas), dtype=torch.float32)
    removed = grams.new_zeros(len(levels) * 2 * splits * groups)
    similarities, factors = grams.new_empty(len(levels), groups), grams.new_empty(sum(layout.areas))
    with torch.cuda.device_of(grams):
        gram_kernel[(2 * splits * groups * sum(level.tiles**2 for level in levels),)](
            *(maps, table, grams, removed, groups, layout.members, splits),
            SHAPES=tuple(level.shape for level in levels),
            STRETCH=layout.stretch,
            CENTER=center,
            PRECISION=_precision(maps),
            **_launch(layout),
        )
        columns, rows = layout.compared
        compare_kernel[(len(levels) * groups,)](
            *(grams, removed, similarities, factors, table, groups, splits),
            UNBIASED=unbiased,
            COLUMNS=columns,
            ROWS=rows,
        )
    return similarities, factors


def _gradients(
    students: tuple[Tensor, ...],
    layout: Layout,
    table: Tensor,
    factors: Tensor,
    scales: Tensor,
    center: bool,
) -> tuple[Tensor, ...]:
    """Gradients of the students' maps."""
    from mmkd.functional.kernel_alignment.pcka_kernels import gradient_kernel

    gradients = tuple(torch.empty_like(student) for student in students)
    programs = min(PROGRAMS, layout.groups * layout.members)
    size = max(level.scratch(layout.taps) for level in layout.levels) if layout.stretch else 0
    scratch = factors.new_empty(programs * size)
    with torch.cuda.device_of(factors):
        gradient_kernel[(programs,)](
            *(students, gradients, factors, scales.float().contiguous(), scratch, table),
            *(layout.groups, layout.members, programs, size),
            SHAPES=tuple(level.shape for level in layout.levels),
            STRETCH=layout.stretch,
            CENTER=center,
            PRECISION=_precision(students),
            TAPS=layout.taps,
            PIXELS=_PIXELS,
            **_launch(layout),
        )
    return gradients


def _launch(layout: Layout) -> dict[str, int]:
    """Threads of a program. Without stages of loads: they would take all of the shared memory."""
    large = any(level.tile == TILES[-1] for level in layout.levels)
    return dict(num_warps=16 if large else 4, num_stages=1)


def _precision(maps: Sequence[Tensor]) -> str:
    """How the kernels multiply."""
    wide = any(m.dtype == torch.float32 for m in maps)
    return 'tf32x3' if wide and torch.get_float32_matmul_precision() == 'highest' else 'tf32'


def _extent(feature: Tensor) -> int:
    """Largest offset of an element, in elements."""
    sides = zip(feature.shape, feature.stride(), strict=True)
    return sum((size - 1) * stride for size, stride in sides)


def _is_transformed(feature: Tensor) -> bool:
    return torch._C._functorch.is_functorch_wrapped_tensor(feature)


@functools.cache
def _has_triton() -> bool:
    if importlib.util.find_spec('triton') is None:
        return False
    import triton

    return tuple(map(int, triton.__version__.split('.')[:2])) >= _OLDEST_TRITON
