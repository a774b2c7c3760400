"""MMDLoss: weight, gradients, errors."""

import pytest
import torch

from mmkd.functional import mmd
from mmkd.losses import MMDLoss
from mmkd.registry import MODELS


def test_is_the_weighted_discrepancy_of_any_widths():
    student, teacher = torch.randn(6, 5) + 0.5, torch.randn(6, 3)
    loss = MODELS.build({'type': 'mmkd.MMDLoss', 'loss_weight': 2.5})
    torch.testing.assert_close(loss(student, teacher), 2.5 * mmd(student, teacher))


def test_gradient_reaches_the_student_only():
    student, teacher = (torch.randn(6, 5, requires_grad=True) for _ in range(2))
    MMDLoss()(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


def test_a_gradient_step_lowers_the_loss():
    student, teacher = torch.randn(6, 5, requires_grad=True), torch.rand(6, 5)
    loss = MMDLoss()
    before = loss(student, teacher)
    before.backward()
    assert loss((student - 0.1 * student.grad).detach(), teacher) < before


def test_errors():
    rows = torch.randn(6, 5)
    with pytest.raises(ValueError, match='loss_weight: expected a finite number >= 0, got -1'):
        MMDLoss(loss_weight=-1)
    with pytest.raises(ValueError, match=r'student: expected a shape \(B, D\), got \(6, 5, 1\)'):
        MMDLoss()(rows[..., None], rows)
    with pytest.raises(ValueError, match=r'teacher: expected a shape \(6, D\), got \(4, 5\)'):
        MMDLoss()(rows, rows[:4])
    with pytest.raises(TypeError, match=r'teacher: expected a Tensor \(B, D\), got tuple; .*data_'):
        MMDLoss()(rows, (rows,))
