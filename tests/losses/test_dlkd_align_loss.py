"""DLKDAlignLoss: weight, gradients, safety, errors."""

import pytest
import torch
from helpers import assert_two_processes_equal_one
from torch.nn import functional as F

from mmkd.losses import DLKDAlignLoss
from mmkd.losses.base import relational_loss
from mmkd.registry import MODELS


def pair(dtype=torch.float32):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 8, 5, generator=generator, dtype=dtype)


def test_is_registered_and_weighted():
    loss = MODELS.build({'type': 'mmkd.DLKDAlignLoss', 'loss_weight': 3.0})
    student, teacher = pair()
    expected = 3 * (2 - 2 * F.cosine_similarity(student, teacher)).mean()
    torch.testing.assert_close(loss(student, teacher), expected)


def test_default_weight_by_hand():
    value = DLKDAlignLoss()(torch.tensor([[1.0, 0.0]]), torch.tensor([[-2.0, 0.0]]))
    assert value.item() == pytest.approx(10 * 4)


def test_sum_by_hand_and_as_the_mean_times_the_rows():
    student = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    teacher = torch.tensor([[-2.0, 0.0], [5.0, 0.0]])
    total = DLKDAlignLoss(loss_weight=2.0, reduction='sum')(student, teacher)
    assert total.item() == pytest.approx(2 * (4 + 2))
    total, mean = DLKDAlignLoss(reduction='sum')(*pair()), DLKDAlignLoss()(*pair())
    torch.testing.assert_close(total, 8 * mean)


def test_gradcheck_and_gradient_for_the_student_only():
    student, teacher = pair(torch.float64)
    student.requires_grad_()
    teacher = teacher.clone().requires_grad_()
    assert torch.autograd.gradcheck(lambda s: DLKDAlignLoss()(s, teacher), (student,))
    DLKDAlignLoss()(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


def test_zero_without_gradient_when_equal():
    student, _ = pair()
    student.requires_grad_()
    value = DLKDAlignLoss()(student, student.detach().clone())
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
def test_zeros_give_zero_without_gradient(dtype, autocast):
    student = torch.zeros(8, 5, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = DLKDAlignLoss()(student, pair(dtype)[1])
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('rows', [1, 8])
def test_constant_rows_are_finite(dtype, rows):
    student = torch.full((rows, 5), 3e4, dtype=dtype, requires_grad=True)
    value = DLKDAlignLoss()(student, pair(dtype)[1, :rows])
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_order_of_rows_does_not_matter():
    student, teacher = pair(torch.float64)
    order = torch.randperm(8)
    loss = DLKDAlignLoss()
    torch.testing.assert_close(loss(student[order], teacher[order]), loss(student, teacher))


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_two_processes_average_to_one(reduction):
    student, teacher = pair(torch.float64)
    loss, splits = DLKDAlignLoss(reduction=reduction), (None, (0, 8), (3, 5))
    assert_two_processes_equal_one(
        loss, student.clone().requires_grad_(), teacher, splits=splits, average=True
    )


def test_without_gather_each_process_is_alone(monkeypatch):
    alone = DLKDAlignLoss()(*pair())
    monkeypatch.setattr(relational_loss, 'mean_over_processes', lambda mean, rows: mean * rows)
    assert DLKDAlignLoss(gather=False)(*pair()) == alone
    assert DLKDAlignLoss()(*pair()) == 8 * alone


def test_construction_errors():
    with pytest.raises(ValueError, match=r'loss_weight: expected a finite number >= 0, got -1'):
        DLKDAlignLoss(loss_weight=-1)
    message = r"reduction: expected one of \('mean', 'sum'\), got 'none'"
    with pytest.raises(ValueError, match=message):
        DLKDAlignLoss(reduction='none')


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((8, 5), (8, 6)), "teacher: expected the student's width 5, got 6; add a ProjectionMLP"),
        (((8, 5), (4, 5)), r'teacher: expected a shape \(8, D\), got \(4, 5\)'),
        (((8, 5, 1, 1), (8, 5)), r'student: expected a shape \(B, D\), got \(8, 5, 1, 1\)'),
    ],
)
def test_shape_errors(shapes, message):
    with pytest.raises(ValueError, match=message):
        DLKDAlignLoss()(*(torch.zeros(shape) for shape in shapes))


def test_type_error():
    with pytest.raises(TypeError, match=r'teacher: expected a Tensor \(B, D\), got tuple'):
        DLKDAlignLoss()(torch.zeros(8, 5), (torch.zeros(8, 5),))
