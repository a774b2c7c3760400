"""PCKALoss: reduction, levels, small maps, safety, errors."""

import warnings

import pytest
import torch

from mmkd.functional import pcka
from mmkd.losses import PCKALoss
from mmkd.registry import MODELS

SIZES = ((16, 24), (8, 12), (5, 6))


def pyramid(seed, dtype=torch.float32, requires_grad=False):
    generator = torch.Generator().manual_seed(seed)
    return tuple(
        torch.randn(2, 3, *size, generator=generator).to(dtype).requires_grad_(requires_grad)
        for size in SIZES
    )


def test_is_registered():
    loss = MODELS.build({'type': 'mmkd.PCKALoss', 'patch_size': 8, 'levels': [0, 1]})
    assert isinstance(loss, PCKALoss)
    assert loss.levels == (0, 1)


def test_is_the_weighted_sum_over_levels():
    student, teacher = pyramid(0), pyramid(1)
    expected = 10 * sum(1 - pcka(s, t, 4) for s, t in zip(student, teacher, strict=True))
    torch.testing.assert_close(PCKALoss(patch_size=4)(student, teacher), expected)


def test_selects_levels():
    student, teacher = pyramid(0), pyramid(1)
    loss = PCKALoss(patch_size=4, levels=[2, 0], loss_weight=1.0)
    expected = 2 - pcka(student[0], teacher[0], 4) - pcka(student[2], teacher[2], 4)
    torch.testing.assert_close(loss(student, teacher), expected)


def test_selected_levels_need_not_be_all_that_the_teacher_has():
    student, teacher = pyramid(0), pyramid(1)
    loss = PCKALoss(patch_size=4, levels=[0, 1])
    assert loss(student[:2], teacher) == loss(student, teacher)


def test_a_tensor_is_one_level():
    student, teacher = pyramid(0)[0], pyramid(1)[0]
    loss = PCKALoss(patch_size=4)
    assert loss(student, teacher) == loss((student,), [teacher])


def test_average_per_level():
    student, teacher = pyramid(0), pyramid(1)
    averages = ['batch', 'spatial', 'channel']
    loss = PCKALoss(patch_size=4, average=averages, loss_weight=1.0)
    expected = sum(
        1 - pcka(s, t, 4, average=average)
        for s, t, average in zip(student, teacher, averages, strict=True)
    )
    torch.testing.assert_close(loss(student, teacher), expected)


@pytest.mark.parametrize(
    'options',
    [{'fit': 'pad'}, {'center': False}, {'unbiased': True}, {'min_patches': 12}],
    ids=lambda options: next(iter(options)),
)
def test_passes_its_options_on(options):
    student, teacher = pyramid(0)[2] + 0.5, pyramid(1)[2] + 0.5
    value = PCKALoss(patch_size=4, loss_weight=1.0, **options)(student, teacher)
    torch.testing.assert_close(value, 1 - pcka(student, teacher, 4, **options))
    assert abs(value - PCKALoss(patch_size=4, loss_weight=1.0)(student, teacher)) > 1e-3


def test_inter_weight_adds_the_transposed_distance():
    student, teacher = pyramid(0)[0], pyramid(1)[0]
    plain = 1 - pcka(student, teacher, 4)
    transposed = 1 - pcka(student, teacher, 4, transpose=True)
    value = PCKALoss(patch_size=4, inter_weight=0.3, loss_weight=2.0)(student, teacher)
    torch.testing.assert_close(value, 2 * (plain + 0.3 * transposed))


def test_gradient_reaches_the_student_only():
    student, teacher = pyramid(0, requires_grad=True), pyramid(1, requires_grad=True)
    PCKALoss(patch_size=4)(student, teacher).backward()
    assert all(level.grad.any() for level in student)
    assert all(level.grad is None for level in teacher)


def test_a_gradient_step_lowers_the_loss():
    student, teacher = pyramid(0, requires_grad=True), pyramid(1)
    loss = PCKALoss(patch_size=4)
    before = loss(student, teacher)
    before.backward()
    stepped = tuple((level - level.grad).detach() for level in student)
    assert loss(stepped, teacher) < before


@pytest.mark.parametrize('options', [{}, {'inter_weight': 1.0}, {'unbiased': True}])
def test_zero_without_gradient_when_equal(options):
    student = pyramid(0, requires_grad=True)
    teacher = tuple(level.detach().clone() for level in student)
    value = PCKALoss(patch_size=4, **options)(student, teacher)
    value.backward()
    assert 0 <= value < 1e-4
    for level in student:
        assert level.grad.abs().max() < 1e-5


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
@pytest.mark.parametrize('options', [{}, {'inter_weight': 1.0}, {'average': 'batch'}])
def test_constant_maps_give_zero_without_gradient(dtype, autocast, fill, options):
    loss = PCKALoss(patch_size=4, **options)
    student = tuple(torch.full_like(level, fill) for level in pyramid(0, dtype))
    for level in student:
        level.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = loss(student, pyramid(1, dtype))
    value.backward()
    assert value == 0
    assert not any(level.grad.any() for level in student)


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_a_single_row_of_patches_is_finite(dtype):
    loss = PCKALoss(patch_size=4, min_patches=1, inter_weight=1.0)
    student = torch.randn(2, 3, 4, 4).to(dtype).requires_grad_()
    value = loss(student, torch.randn(2, 3, 4, 4).to(dtype))
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_never_negative():
    loss = PCKALoss(patch_size=4)
    for seed in range(20):
        student = pyramid(seed)
        assert loss(student, tuple(level * (1 + 1e-6 * seed) for level in student)) >= 0


def test_a_level_that_is_too_small_contributes_zero_and_warns_once():
    loss = PCKALoss(patch_size=4)
    student, teacher = pyramid(0), pyramid(1)
    tiny = torch.randn(2, 3, 1, 3)
    with pytest.warns(UserWarning, match='level 3 has 1 x 3 pixels, fewer than min_patches=4'):
        value = loss((*student, tiny), (*teacher, tiny.flip(0)))
    assert value == loss(student, teacher)
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        loss((*student, tiny), (*teacher, tiny.flip(0)))


def test_a_small_level_with_enough_pixels_does_not_warn():
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        PCKALoss()(torch.randn(2, 3, 2, 2), torch.randn(2, 3, 2, 2))


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'patch_size': 0}, 'patch_size: expected a positive integer, got 0'),
        ({'min_patches': 1.5}, r'min_patches: expected a positive integer, got 1\.5'),
        ({'average': 'mix'}, "average: expected one of .* got 'mix'"),
        ({'average': ['batch', 'mix']}, "average: expected one of .* got 'mix'"),
        ({'average': ['batch'], 'levels': [0, 1]}, r"average: .* each of the 2 .* got \('batch',"),
        ({'fit': 'crop'}, "fit: expected one of .* got 'crop'"),
        ({'inter_weight': -1}, 'inter_weight: expected a finite number >= 0, got -1'),
        ({'loss_weight': float('nan')}, 'loss_weight: expected a finite number >= 0, got nan'),
        ({'levels': []}, r'levels: expected distinct indices >= 0, at least one, got \[\]'),
        ({'levels': [0, 0]}, r'levels: expected distinct .* got \[0, 0\]'),
        ({'levels': [-1]}, r'levels: expected distinct .* got \[-1\]'),
        ({'unbiased': True, 'min_patches': 2}, 'min_patches: expected at least 4 rows .* got 2'),
        ({'unbiased': True, 'center': False}, 'center: expected True with unbiased=True'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        PCKALoss(**options)


def test_shape_error_names_the_level():
    student = pyramid(0)
    wide = torch.randn(2, 5, 8, 12)
    message = (
        r"teacher\[1\]: expected the student's shape \(2, 3, 8, 12\), got \(2, 5, 8, 12\); add"
    )
    with pytest.raises(ValueError, match=message):
        PCKALoss()(student, (student[0], wide, student[2]))
    with pytest.raises(ValueError, match=r"^teacher: expected the student's shape"):
        PCKALoss()(student[1], wide)


@pytest.mark.parametrize(
    ('loss', 'student', 'teacher', 'error', 'message'),
    [
        ({}, 3, 2, ValueError, "teacher: expected the student's 3 levels, got 2; choose with"),
        ({'levels': [2]}, 3, 2, ValueError, 'teacher: expected a level of index 2, got 2 levels'),
        ({'levels': [3]}, 3, 3, ValueError, 'student: expected a level of index 3, got 3 levels'),
        (
            {},
            0,
            3,
            TypeError,
            r'student: expected a Tensor or a non-empty tuple .* got tuple of \[',
        ),
        ({'average': ['batch', 'channel']}, 3, 3, ValueError, 'average: .* each of the 3 compared'),
    ],
)
def test_level_errors(loss, student, teacher, error, message):
    with pytest.raises(error, match=message):
        PCKALoss(**loss)(pyramid(0)[:student], pyramid(1)[:teacher])


def test_wrong_type_error():
    message = 'student: expected a Tensor or a non-empty tuple of Tensors, got dict'
    with pytest.raises(TypeError, match=message):
        PCKALoss()({'p3': torch.randn(1, 1, 4, 4)}, pyramid(0))
