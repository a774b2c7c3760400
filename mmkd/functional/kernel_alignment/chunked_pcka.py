"""PCKA in chunks of groups, which needs little memory and stays in the cache of a CPU."""

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from mmkd.functional.kernel_alignment.cka import Gram, compare_grams, gram, row_gradient
from mmkd.functional.kernel_alignment.patches import Patching, to_patches
from mmkd.functional.numerics import upcast

# Pixels of a chunk for each CPU thread: with its intermediates a few MB, about one core's cache.
# In smaller chunks the threads would wait for each other.
_CPU_PIXELS = 2**18
# Minimum elsewhere, where each launch costs time.
_DEVICE_PIXELS = 2**20
# With fewer chunks, computing all groups at once is as good.
_FEWEST_CHUNKS = 8
# The dimension of a map (B, C, H, W) that counts the groups.
_GROUPS = {'channel': 1, 'batch': 0}


def can_be_chunked(student: Tensor, teacher: Tensor, patching: Patching) -> bool:
    """Whether ``chunked_pcka`` can compare these maps (B, C, H, W), and is faster."""
    if teacher.requires_grad or patching.average not in _GROUPS:
        return False
    rows, columns = (-(-size // patching.patch_size) for size in student.shape[2:])
    maps = student.shape[1 - _GROUPS[patching.average]]
    if rows * columns > maps * patching.patch_size**2:
        return False
    return student.numel() >= _FEWEST_CHUNKS * _chunk_pixels(student)


def chunked_pcka(
    student: Tensor, teacher: Tensor, patching: Patching, center: bool, unbiased: bool
) -> Tensor:
    """Mean CKA over the groups, from the N x N side.

    The backward pass makes the student's patches again, so only the student's map and N x N
    matrices are kept. No gradient flows into the teacher.

    Args:
        student: Shape (B, C, H, W).
        teacher: Shape (B, C, H, W).
        patching: How to cut the maps. Its ``average`` is ``'channel'`` or ``'batch'``.
        center: See ``pcka``.
        unbiased: See ``pcka``.
    """
    return _ChunkedPCKA.apply(student, teacher, patching, center, unbiased)


class _ChunkedPCKA(torch.autograd.Function):
    @staticmethod
    def forward(
        ctx: Any,
        student: Tensor,
        teacher: Tensor,
        patching: Patching,
        center: bool,
        unbiased: bool,
    ) -> Tensor:
        ctx.patching, ctx.center = patching, center
        given, wanted = (_grams(maps, patching, center) for maps in (student, teacher))
        similarity, gradient = _compare(given, wanted, unbiased, ctx.needs_input_grad[0])
        ctx.save_for_backward(student, gradient)
        return similarity.mean()

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, scale: Tensor) -> tuple[Tensor | None, ...]:
        student, gradient = ctx.saved_tensors
        weights = row_gradient(gradient * (scale / len(gradient)), ctx.center)
        if ctx.center:  # rows that sum to 0 cancel the mean patch, which is not subtracted here
            weights -= weights.mean(-1, keepdim=True)
        result = torch.empty_like(student)
        parts = _chunks(result, ctx.patching)
        factors = weights.split([part.shape[_GROUPS[ctx.patching.average]] for part in parts])
        for maps, part, factor in zip(_chunks(student, ctx.patching), parts, factors, strict=True):
            part.copy_(_map_gradient(maps, factor, ctx.patching))
        return result, None, None, None, None


def _chunk_pixels(maps: Tensor) -> int:
    if maps.device.type == 'cpu':
        return _CPU_PIXELS * torch.get_num_threads()
    return max(_DEVICE_PIXELS, maps.numel() // _FEWEST_CHUNKS)


def _chunks(maps: Tensor, patching: Patching) -> tuple[Tensor, ...]:
    """Views of the map, each with some of its groups."""
    groups = _GROUPS[patching.average]
    step = _chunk_pixels(maps) * maps.shape[groups] // maps.numel()
    return maps.split(max(1, step), groups)


def _grams(maps: Tensor, patching: Patching, center: bool) -> Gram:
    """Gram matrices of the patches of all groups."""
    parts = [
        gram(to_patches(upcast(chunk), **patching._asdict()), center, overwrite=True)
        for chunk in _chunks(maps, patching)
    ]
    return Gram(*(torch.cat(part) for part in zip(*parts, strict=True)))


def _compare(
    source: Gram, target: Gram, unbiased: bool, with_gradient: bool
) -> tuple[Tensor, Tensor | None]:
    """Similarities and, if wanted, their gradient by the source's Gram matrix."""
    with torch.set_grad_enabled(with_gradient):
        matrix = source.matrix.detach().requires_grad_(with_gradient)
        similarity, vanishing = compare_grams(source._replace(matrix=matrix), target, unbiased)
        similarity = similarity.masked_fill(vanishing, 1.0)
        if not with_gradient:
            return similarity, None
        return similarity.detach(), torch.autograd.grad(similarity.sum(), matrix)[0]


def _map_gradient(maps: Tensor, factor: Tensor, patching: Patching) -> Tensor:
    """Gradient of maps, given that of their patches: ``factor`` (G, N, N) times the patches."""
    maps = maps.detach().requires_grad_()
    with torch.enable_grad(), torch.autocast(maps.device.type, enabled=False):
        patches = to_patches(upcast(maps), **patching._asdict())
        return torch.autograd.grad(patches, maps, factor @ patches.detach())[0]
