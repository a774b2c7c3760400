"""Alignment against SciPy, by hand, and of zeros."""

import pytest
import torch
from scipy.spatial.distance import cosine

from mmkd.functional import alignment


def pair(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 6, 5, generator=generator, dtype=dtype)


def test_is_twice_the_cosine_distance():
    student, teacher = pair()
    distances = [2 * cosine(s.numpy(), t.numpy()) for s, t in zip(student, teacher, strict=True)]
    assert alignment(student, teacher).item() == pytest.approx(sum(distances) / 6, rel=1e-12)


def test_by_hand():
    student = torch.tensor([[2.0, 0.0], [0.0, 5.0], [1.0, 1.0]])
    teacher = torch.tensor([[0.0, 3.0], [0.0, -1.0], [4.0, 4.0]])
    assert alignment(student, teacher).item() == pytest.approx((2 + 4 + 0) / 3)
    assert alignment(student, teacher, 'sum').item() == pytest.approx(2 + 4 + 0)
    torch.testing.assert_close(alignment(student, teacher, 'none'), torch.tensor([2.0, 4.0, 0.0]))


def test_gradcheck_in_both_arguments():
    student, teacher = pair()
    assert torch.autograd.gradcheck(
        alignment, (student.requires_grad_(), teacher.clone().requires_grad_())
    )


def test_only_directions_count():
    student, teacher = pair()
    scale = torch.rand(6, 1, dtype=torch.float64) + 0.1
    torch.testing.assert_close(alignment(student * scale, teacher), alignment(student, teacher))


def test_zero_without_gradient_when_equal():
    student, _ = pair(torch.float32)
    teacher = 3 * student
    student.requires_grad_()
    value = alignment(student, teacher)
    value.backward()
    assert 0 <= value < 1e-12
    assert student.grad.abs().max() < 1e-6


@pytest.mark.parametrize('side', [0, 1])
def test_a_row_of_zeros_contributes_nothing(side):
    student, teacher = pair(torch.float32)
    (student, teacher)[side][2] = 0
    student.requires_grad_()
    value = alignment(student, teacher)
    value.backward()
    kept = [0, 1, 3, 4, 5]
    torch.testing.assert_close(value, alignment(student[kept], teacher[kept]) * 5 / 6)
    assert not student.grad[2].any()


@pytest.mark.parametrize('side', [0, 1])
def test_nan_is_not_hidden_by_zeros(side):
    features = [torch.zeros(2, 3), torch.zeros(2, 3)]
    features[side][0, 0] = float('nan')
    assert alignment(*features).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_change_nothing(dtype):
    student, teacher = pair(torch.float32).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = alignment(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, alignment(student.float(), teacher.float()))


def test_errors():
    with pytest.raises(ValueError, match=r"reduction: expected one of .* got 'batchmean'"):
        alignment(*pair(), 'batchmean')
    with pytest.raises(ValueError, match=r"teacher: expected the student's shape \(6, 5\), got"):
        alignment(torch.zeros(6, 5), torch.zeros(6, 4))
