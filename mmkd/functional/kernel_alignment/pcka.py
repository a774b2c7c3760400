"""Patch-based CKA (PCKA): CKA between the patches of two feature maps."""

from collections.abc import Sequence
from typing import get_args

import torch
from torch import Tensor

from mmkd.functional.checks import check_choice, check_positive_int, check_same_shape
from mmkd.functional.kernel_alignment.chunked_pcka import can_be_chunked, chunked_pcka
from mmkd.functional.kernel_alignment.cka import check_unbiased, cka, compare_grams, gram
from mmkd.functional.kernel_alignment.patches import (
    Average,
    Fit,
    Patching,
    check_feature_map,
    fitting_patch_size,
    to_patches,
)
from mmkd.functional.numerics import limited, upcast
from mmkd.functional.saturation import saturating


def pcka(
    student: Tensor,
    teacher: Tensor,
    patch_size: int = 16,
    *,
    average: Average = 'channel',
    fit: Fit = 'resize',
    center: bool = True,
    unbiased: bool = False,
    min_patches: int = 4,
    transpose: bool = False,
) -> Tensor:
    """Patch-based CKA similarity of two feature maps.

    The function cuts both maps into N patches. It compares the patches by CKA and averages over
    channels, images or positions in a patch. Zhou et al., IJCAI 2024, sec. 3.4, eq. 9 and Table 5:
    <https://arxiv.org/abs/2401.11824>.

    The biased value is high for few patches: N patches with D features read about D / (D + N) for
    independent noise. For 6 patches of 16 x 16 pixels of two images (D = 512), this is 0.99. The
    value of ``unbiased=True`` is then near 0. It tells related maps from unrelated ones.

    Args:
        student: Shape (B, C, H, W).
        teacher: Shape (B, C, H, W).
        patch_size: Side of a patch in pixels. It is halved until the map has ``min_patches``.
        average: ``'channel'``, ``'batch'`` or ``'spatial'``. See ``to_patches``.
        fit: ``'resize'`` or ``'pad'``. See ``to_patches``.
        center: Subtract the mean patch first, as CKA does. The authors' code does not.
        unbiased: Use the unbiased estimator. See ``cka``.
        min_patches: Smallest number of patches to compare.
        transpose: Compare the features instead of the patches: CKA(X^T, Y^T).

    Returns:
        A scalar, at most 1. A group with a constant map (without centering: a map of zeros) counts
        as 1 and has no gradient. So does a map with fewer than ``min_patches`` pixels.

    Raises:
        ValueError: If the shapes differ or an argument is out of range.

    Example:
        >>> feature = torch.randn(2, 8, 20, 30)
        >>> round(pcka(feature, 2 * feature + 1, patch_size=4).item(), 4)
        1.0
        >>> _ = torch.manual_seed(0)
        >>> noise = torch.randn(2, 64, 24, 40), torch.randn(2, 64, 24, 40)  # unrelated
        >>> pcka(*noise) > 0.95, pcka(*noise, unbiased=True).abs() < 0.1
        (tensor(True), tensor(True))
    """
    check_feature_map('student', student)
    check_same_shape(student, teacher)
    return pyramid_pcka(
        [student],
        [teacher],
        patch_size,
        average=average,
        fit=fit,
        center=center,
        unbiased=unbiased,
        min_patches=min_patches,
        transpose=transpose,
    )[0]


@saturating
def pyramid_pcka(
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    patch_size: int = 16,
    *,
    average: Average | Sequence[Average] = 'channel',
    fit: Fit = 'resize',
    center: bool = True,
    unbiased: bool = False,
    min_patches: int = 4,
    transpose: bool = False,
) -> Tensor:
    """``pcka`` of each level of two feature pyramids.

    On a GPU with Triton, three kernels compute all levels together. See
    ``mmkd.functional.kernel_alignment.fused_pcka``.

    Args:
        students: One map a level. Shape (B, C, H, W).
        teachers: As many, with the students' shapes.
        patch_size: See ``pcka``.
        average: See ``pcka``. One for all levels, or a sequence with one a level.
        fit: See ``pcka``.
        center: See ``pcka``.
        unbiased: See ``pcka``.
        min_patches: See ``pcka``.
        transpose: See ``pcka``.

    Returns:
        Shape (levels,). A level with fewer than ``min_patches`` pixels counts as 1.

    Raises:
        ValueError: If the shapes differ or an argument is out of range.

    Example:
        >>> pyramid = [torch.randn(2, 8, 32, 48), torch.randn(2, 8, 16, 24)]
        >>> pyramid_pcka(pyramid, [2 * level for level in pyramid], patch_size=8)
        tensor([1., 1.])
    """
    averages = [average] * len(students) if isinstance(average, str) else [*average]
    _check_pyramid(students, teachers, averages)
    check_positive_int('patch_size', patch_size)
    check_positive_int('min_patches', min_patches)
    check_choice('fit', fit, get_args(Fit))
    if unbiased:
        check_unbiased(center, 'min_patches', min_patches)
    similarities: dict[int, Tensor] = {}
    cut: dict[int, Patching] = {}
    for level, student in enumerate(students):
        size = (student.shape[2], student.shape[3])
        fitting = fitting_patch_size(size, patch_size, min_patches)
        if fitting is None:
            similarities[level] = upcast(student.flatten()[:0]).sum() + 1  # 1, in the graph
        else:
            cut[level] = Patching(fitting, averages[level], fit)
    maps = [students[level] for level in cut], [teachers[level] for level in cut]
    fused = _fused(*maps, [*cut.values()], center, unbiased, transpose)
    for i, (level, patching) in enumerate(cut.items()):
        similarities[level] = (
            _level_pcka(maps[0][i], maps[1][i], patching, center, unbiased, transpose)
            if fused is None
            else fused[i]
        )
    return torch.stack([similarities[level] for level in range(len(students))])


def _check_pyramid(
    students: Sequence[Tensor], teachers: Sequence[Tensor], averages: Sequence[Average]
) -> None:
    for name, other in (('teachers', teachers), ('average', averages)):
        if len(other) != len(students) or not students:
            raise ValueError(
                f'{name}: expected one for each of the {len(students)} levels, at least one, '
                f'got {len(other)}'
            )
    for level, (student, teacher) in enumerate(zip(students, teachers, strict=True)):
        check_feature_map(f'students[{level}]', student)
        check_same_shape(student, teacher, f'teachers[{level}]')
        check_choice('average', averages[level], get_args(Average))


def _fused(
    students: Sequence[Tensor],
    teachers: Sequence[Tensor],
    patchings: Sequence[Patching],
    center: bool,
    unbiased: bool,
    transpose: bool,
) -> Tensor | None:
    """Similarities of the levels by the fused kernels, or None if they do not apply."""
    if transpose or not students or not students[0].is_cuda:
        return None
    from mmkd.functional.kernel_alignment import fused_pcka, fused_trial

    def fused(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Tensor:
        return fused_pcka.fused_pcka(xs, ys, patchings, center, unbiased)

    def plain(xs: Sequence[Tensor], ys: Sequence[Tensor]) -> Tensor:
        levels = zip(xs, ys, patchings, strict=True)
        return torch.stack([_level_pcka(*each, center, unbiased, False) for each in levels])

    maps = (students, teachers, patchings)
    reason = fused_pcka.why_not_fused(*maps)
    if reason is None:
        reason = fused_trial.why_not_trusted(fused, plain, *maps, center, unbiased)
    if reason is not None:
        fused_pcka.log_reason(reason)
        return None
    return fused(students, teachers)


def _level_pcka(
    student: Tensor,
    teacher: Tensor,
    patching: Patching,
    center: bool,
    unbiased: bool,
    transpose: bool,
) -> Tensor:
    student, teacher = limited(student, power=2), limited(teacher, power=2)
    with torch.autocast(student.device.type, enabled=False):
        if not transpose and can_be_chunked(student, teacher, patching):
            return chunked_pcka(student, teacher, patching, center, unbiased)
        return whole_pcka(student, teacher, patching, center, unbiased, transpose)


def whole_pcka(
    student: Tensor,
    teacher: Tensor,
    patching: Patching,
    center: bool = True,
    unbiased: bool = False,
    transpose: bool = False,
) -> Tensor:
    """``pcka`` of all groups at once, with gradients of both maps."""

    def matrices(feature: Tensor) -> Tensor:
        patches = to_patches(upcast(feature), **patching._asdict())
        return patches.mT if transpose else patches

    y = matrices(teacher)
    if y.shape[-2] > y.shape[-1]:
        x = matrices(student)
        return cka(x, y, center=center, unbiased=unbiased, degenerate=1.0).mean()
    if unbiased:
        check_unbiased(center, 'student', y.shape[-2])
    target = gram(y, center, overwrite=True)
    del y  # frees memory before the student's patches are made
    source = gram(matrices(student), center, overwrite=True)
    similarity, vanishing = compare_grams(source, target, unbiased)
    return similarity.masked_fill(vanishing, 1.0).mean()
