"""PCKA a few groups at a time: little memory, and on CPUs what is computed stays in the cache."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.functional.kernel_alignment.cka import Gram, compare_grams, gram, row_gradient
from mmkd.functional.kernel_alignment.patches import PatchLayout, to_patches
from mmkd.functional.numerics import upcast

# Pixels of a chunk for each thread of a CPU: with all that is made of them a few MB, about the
# cache of a core. Smaller chunks wait for the threads more than they compute.
_CPU_PIXELS = 2**18
# Elsewhere launches count: maps of at least eight times this many are cut into eight chunks.
_DEVICE_PIXELS = 2**20
# With fewer, little is gained on the way that computes all groups at once.
_FEWEST_CHUNKS = 8
# Dimension of a map (B, C, H, W) that counts the groups.
_GROUPS = {'channel': 1, 'batch': 0}


def can_be_chunked(student: Tensor, teacher: Tensor, layout: PatchLayout) -> bool:
    """Whether :func:`chunked_pcka` serves these maps, (B, C, H, W) each, and is the better way."""
    if teacher.requires_grad or layout.average not in _GROUPS:
        return False
    rows, columns = (-(-size // layout.patch_size) for size in student.shape[2:])
    maps = student.shape[1 - _GROUPS[layout.average]]
    if rows * columns > maps * layout.patch_size**2:
        return False
    return student.numel() >= _FEWEST_CHUNKS * _chunk_pixels(student)


def chunked_pcka(
    student: Tensor, teacher: Tensor, layout: PatchLayout, center: bool, unbiased: bool
) -> Tensor:
    """Mean CKA over the groups of a layout, from the N x N side.

    The student's patches are made again for the backward pass, which keeps nothing but the student
    and N x N matrices. No gradient flows into the teacher.

    Args:
        student: Shape (B, C, H, W).
        teacher: Shape (B, C, H, W).
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
        given, wanted = (_grams(maps, layout, center) for maps in (student, teacher))
        similarity, gradient = _compare(given, wanted, unbiased, ctx.needs_input_grad[0])
        ctx.save_for_backward(student, gradient)
        return similarity.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        student, gradient = ctx.saved_tensors
        weights = row_gradient(gradient * (scale / len(gradient)), ctx.center)
        if ctx.center:  # rows that sum to 0: the mean patch, not subtracted here, vanishes
            weights -= weights.mean(-1, keepdim=True)
        result = torch.empty_like(student)
        parts = _chunks(result, ctx.layout)
        factors = weights.split([part.shape[_GROUPS[ctx.layout.average]] for part in parts])
        for maps, part, factor in zip(_chunks(student, ctx.layout), parts, factors, strict=True):
            part.copy_(_map_gradient(maps, factor, ctx.layout))
        return result, None, None, None, None


def _chunk_pixels(maps: Tensor) -> int:
    if maps.device.type == 'cpu':
        return _CPU_PIXELS * torch.get_num_threads()
    return max(_DEVICE_PIXELS, maps.numel() // _FEWEST_CHUNKS)


def _chunks(maps: Tensor, layout: PatchLayout) -> tuple[Tensor, ...]:
    """Views of some groups each."""
    groups = _GROUPS[layout.average]
    step = _chunk_pixels(maps) * maps.shape[groups] // maps.numel()
    return maps.split(max(1, step), groups)


def _grams(maps: Tensor, layout: PatchLayout, center: bool) -> Gram:
    """Gram matrices of the patches of all groups."""
    parts = [
        gram(to_patches(upcast(chunk), **layout._asdict()), center, overwrite=True)
        for chunk in _chunks(maps, layout)
    ]
    return Gram(*(torch.cat(part) for part in zip(*parts, strict=True)))


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


def _map_gradient(maps: Tensor, factor: Tensor, layout: PatchLayout) -> Tensor:
    """Gradient of maps whose patches' gradients are a factor (G, N, N) times the patches."""
    maps = maps.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(maps.device.type, enabled=False):
        patches = to_patches(upcast(maps), **layout._asdict())
        return torch.autograd.grad(patches, maps, factor @ patches.detach())[0]
