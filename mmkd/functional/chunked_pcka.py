"""PCKA on CPUs, a few groups at a time, so that what is computed on the way stays in the cache."""

import math
from collections.abc import Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.functional.cka import Gram, compare_grams, gram, row_gradient
from mmkd.functional.patch_bands import PatchCutter
from mmkd.functional.patches import PatchLayout

# Pixels of a chunk's maps for each thread: with all that is made of them a few MB, about the cache
# of a core. Smaller chunks wait for the threads more than they compute.
_CHUNK_PIXELS = 2**19
# With fewer, nothing is gained on the way that computes all groups at once.
_FEWEST_CHUNKS = 8
# Dimension of a map (B, C, H, W) that counts the groups.
_GROUPS = {'channel': 1, 'batch': 0}


def can_be_chunked(student: Tensor, teacher: Tensor, layout: PatchLayout) -> bool:
    """Whether :func:`chunked_pcka` serves these maps, (B, C, H, W) each, and is the faster way."""
    if student.device.type != 'cpu' or teacher.requires_grad or layout.average not in _GROUPS:
        return False
    height, width = student.shape[2:]
    stretched = height % layout.patch_size or width % layout.patch_size
    if layout.fit != 'resize' or not stretched:
        return False  # to cut alone is a copy, which products do not undercut
    rows, columns = -(-height // layout.patch_size), -(-width // layout.patch_size)
    maps = student.shape[1 - _GROUPS[layout.average]]
    if rows * columns > maps * layout.patch_size**2:
        return False
    return student.numel() >= _FEWEST_CHUNKS * _chunk_pixels()


def chunked_pcka(
    student: Tensor, teacher: Tensor, layout: PatchLayout, center: bool, unbiased: bool
) -> Tensor:
    """Mean CKA over the groups of a layout, from the N x N side.

    The student's patches are made again for the backward pass, which keeps nothing but the student
    and N x N matrices. No gradient flows into the teacher.

    Args:
        student: Shape (B, C, H, W), on a CPU.
        teacher: Shape (B, C, H, W), on a CPU.
        layout: How they are cut; ``average`` is ``'channel'`` or ``'batch'``.
        center: See :func:`pcka`.
        unbiased: See :func:`pcka`.
    """
    return _ChunkedPCKA.apply(student, teacher, layout, center, unbiased)


class _ChunkedPCKA(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        layout: PatchLayout,
        center: bool,
        unbiased: bool,
    ) -> Tensor:
        ctx.layout, ctx.center = layout, center
        ctx.dtype = torch.promote_types(
            torch.promote_types(student.dtype, teacher.dtype), torch.float32
        )
        source, target = _grouped(student, layout), _grouped(teacher, layout)
        similarities, gradients = [], []
        for groups, cutter in _chunks(source.shape, layout, ctx.dtype):
            wanted = gram(cutter.cut(target[groups]).transpose(0, 1), center, overwrite=True)
            given = gram(cutter.cut(source[groups]).transpose(0, 1), center, overwrite=True)
            similarity, gradient = _compare(given, wanted, unbiased, ctx.needs_input_grad[0])
            similarities.append(similarity)
            gradients.append(gradient)
        ctx.save_for_backward(student, *gradients)
        return torch.cat(similarities).mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        student, *gradients = ctx.saved_tensors
        source = _grouped(student, ctx.layout)
        result = torch.empty_like(student)
        grouped_result = _grouped(result, ctx.layout)
        chunks = _chunks(source.shape, ctx.layout, ctx.dtype)
        for (groups, cutter), gradient in zip(chunks, gradients, strict=True):
            patches = cutter.cut(source[groups])
            if ctx.center:
                patches -= patches.mean(0)
            gradient = row_gradient(gradient * (scale / len(source)), ctx.center)
            grouped_result[groups] = cutter.join_product(gradient)
        return result, None, None, None, None


def _chunk_pixels() -> int:
    return _CHUNK_PIXELS * torch.get_num_threads()


def _grouped(feature: Tensor, layout: PatchLayout) -> Tensor:
    """View of maps (B, C, H, W), groups first."""
    return feature.transpose(0, 1) if _GROUPS[layout.average] else feature


def _chunks(
    shape: torch.Size, layout: PatchLayout, dtype: torch.dtype
) -> Iterator[tuple[slice, PatchCutter]]:
    """Ranges of the groups, and what cuts them."""
    step = max(1, _chunk_pixels() // math.prod(shape[1:]))

    @cache  # all ranges but the last are of one length
    def cutter_of(groups: int) -> PatchCutter:
        return PatchCutter((groups, *shape[1:]), layout.patch_size, layout.fit, dtype)

    for start in range(0, shape[0], step):
        stop = min(start + step, shape[0])
        yield slice(start, stop), cutter_of(stop - start)


def _compare(
    source: Gram, target: Gram, unbiased: bool, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Similarities, and their gradient by the source's Gram matrix if that is wanted."""
    with torch.set_grad_enabled(with_gradient):
        matrix = source.matrix.detach().requires_grad_(with_gradient)
        similarity, vanishing = compare_grams(source._replace(matrix=matrix), target, unbiased)
        similarity = similarity.masked_fill(vanishing, 1.0)
        if not with_gradient:
            return similarity, None
        return similarity.detach(), torch.autograd.grad(similarity.sum(), matrix)[0]
