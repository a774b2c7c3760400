"""Whether the fused kernels of PCKA agree with the plain computation on this machine.

GPUs, drivers and releases of Triton differ, so the first maps of each kind are compared both ways.
"""

import logging
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from mmkd.functional.kernel_alignment.fused_layout import layout_of
from mmkd.functional.kernel_alignment.patches import Patching

Compute = Callable[[Sequence[Tensor], Sequence[Tensor]], Tensor]

# Of values, and of the largest entry of a gradient: TF32 and bfloat16 stay below.
VALUE_TOLERANCE, GRADIENT_TOLERANCE = 1e-3, 5e-2
_found: dict[tuple, str | None] = {}


def why_not_trusted(
    fused: Compute,
    plain: Compute,
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    patchings: Sequence[Patching],
    *options: bool,
) -> str | None:
    """Reason why ``fused`` cannot be used for maps of this kind, or None if it equals ``plain``.

    Maps that run the same compiled kernels are of one kind. Its first maps are tried, and a warning
    tells a failure.

    Args:
        fused: Similarities of the levels, shape (levels,), by the kernels.
        plain: The same without them.
        students: Maps (B, C, H, W), one a level.
        teachers: As many.
        patchings: How to cut each level.
        options: Further settings that the kernels are compiled for.
    """
    layout = layout_of(students, patchings)
    shapes = tuple(level.shape for level in layout.levels)
    types = tuple(m.dtype for m in (*students, *teachers))
    precision = torch.get_float32_matmul_precision()
    kind = (students[0].device, types, shapes, layout.stretch, precision, *options)
    if kind not in _found:
        _found[kind] = _difference(fused, plain, students, teachers)
        if _found[kind] is not None:
            logging.getLogger(__name__).warning(
                'PCKA goes on without its fused kernels, more slowly: %s. Please report this.',
                _found[kind],
            )
    return _found[kind]


def _difference(
    fused: Compute, plain: Compute, students: Sequence[Tensor], teachers: Sequence[Tensor]
) -> str | None:
    expected, wanted = _value_and_gradients(plain, students, teachers)
    try:
        values, gradients = _value_and_gradients(fused, students, teachers)
        gap = float((values - expected).abs().max())
    except Exception as error:  # compilers and drivers raise what they like
        return f'they failed with {error!r:.300}'
    if not expected.isfinite().all():
        return None  # nothing to compare; what is not finite is told elsewhere
    if not gap <= VALUE_TOLERANCE:
        return f'values differ by {gap:.2g}'
    for own, other in zip(gradients, wanted, strict=True):
        gap = float((own - other).abs().max())
        if not gap <= GRADIENT_TOLERANCE * float(other.abs().max()) + torch.finfo(own.dtype).tiny:
            return f'gradients differ by {gap:.2g}'
    return None


def _value_and_gradients(
    compute: Compute, students: Sequence[Tensor], teachers: Sequence[Tensor]
) -> tuple[Tensor, tuple[Tensor, ...]]:
    with torch.enable_grad():
        leaves = [student.detach().requires_grad_() for student in students]
        values = compute(leaves, [teacher.detach() for teacher in teachers])
        return values.detach().float(), torch.autograd.grad(values.sum(), leaves)
