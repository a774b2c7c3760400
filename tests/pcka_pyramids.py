"""Pyramids of maps for PCKA, and the plain computation that its fused kernels have to equal."""

import torch

from mmkd.functional.kernel_alignment.pcka import whole_pcka


def pyramid(*shapes, dtype=torch.float32, layout=torch.contiguous_format, device='cpu'):
    """Maps of student and teacher, correlated and with a mean."""
    generator = torch.Generator().manual_seed(0)
    students = [torch.randn(shape, generator=generator) + 0.5 for shape in shapes]
    teachers = [s + torch.randn(s.shape, generator=generator) for s in students]
    return tuple(
        [m.to(device, dtype).contiguous(memory_format=layout) for m in maps]
        for maps in (students, teachers)
    )


def values_and_gradients(function, students, teachers, patchings, *options):
    """Similarities of the levels, and the students' gradients of a weighted sum of them."""
    students = [s.detach().requires_grad_() for s in students]
    values = function(students, teachers, patchings, *options)
    weights = torch.arange(1.0, len(students) + 1, device=values.device)
    return values.detach(), torch.autograd.grad((weights * values).sum(), students)


def plain(students, teachers, patchings, *options):
    """Similarities of the levels without the fused kernels."""
    levels = zip(students, teachers, patchings, strict=True)
    return torch.stack([whole_pcka(*level, *options) for level in levels])
