"""MimicLoss against torch's mean squared error."""

import pytest
import torch
from torch.nn import functional as F

from mmkd.losses import MimicLoss
from mmkd.registry import MODELS


def pyramid(dtype=torch.float32):
    return tuple(torch.randn(2, 3, size, 7).to(dtype) for size in (8, 4, 2))


def test_is_the_weighted_sum_of_mean_squared_errors():
    student, teacher = pyramid(), pyramid()
    loss = MODELS.build({'type': 'mmkd.MimicLoss', 'loss_weight': 0.5})
    expected = 0.5 * sum(F.mse_loss(s, t) for s, t in zip(student, teacher, strict=True))
    torch.testing.assert_close(loss(student, teacher), expected)


def test_sum_is_the_mean_times_the_entries():
    student, teacher = (torch.randn(2, 3, 4, 4) for _ in range(2))
    total = MimicLoss(loss_weight=0.5, reduction='sum')(student, teacher)
    torch.testing.assert_close(total, 96 * MimicLoss(loss_weight=0.5)(student, teacher))
    total = MimicLoss(reduction='sum')(torch.zeros(1, 1, 1, 2), torch.tensor([[[[1.0, 3.0]]]]))
    assert total == 1 + 9
    message = r"reduction: expected one of \('mean', 'sum'\), got 'none'"
    with pytest.raises(ValueError, match=message):
        MimicLoss(reduction='none')


def test_selects_levels():
    student, teacher = pyramid(), pyramid()
    value = MimicLoss(levels=[1])(student, teacher)
    torch.testing.assert_close(value, F.mse_loss(student[1], teacher[1]))


def test_gradient_reaches_the_student_only():
    student, teacher = (torch.randn(2, 3, 4, 4, requires_grad=True) for _ in range(2))
    MimicLoss()(student, teacher).backward()
    torch.testing.assert_close(student.grad, (2 * (student - teacher) / 96).detach())
    assert teacher.grad is None


def test_half_precision_is_computed_in_float32():
    student = torch.full((1, 1, 2, 2), 300.0, dtype=torch.float16, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = MimicLoss()(student, -student)
    value.backward()
    assert value.dtype == torch.float32
    assert value == 600.0**2  # beyond float16
    assert torch.equal(student.grad, torch.full_like(student, 300))


def test_zero_without_gradient_when_equal():
    student = torch.randn(2, 3, 4, 4, requires_grad=True)
    value = MimicLoss()(student, student)
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_shape_error_names_the_level():
    student = pyramid()
    message = (
        r"teacher\[0\]: expected the student's shape \(2, 3, 8, 7\), got \(2, 6, 8, 7\); add a"
    )
    with pytest.raises(ValueError, match=message):
        MimicLoss()(student, (torch.randn(2, 6, 8, 7), *student[1:]))
