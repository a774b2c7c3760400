"""SoftFocalLoss against plain Python and MMDetection, gradients, errors."""

import math

import pytest
import torch
from mmdet.models.losses import QualityFocalLoss

from mmkd.functional import soft_focal
from mmkd.losses import SoftFocalLoss


def logits(seed, *shape):
    generator = torch.Generator().manual_seed(seed)
    return 3 * torch.randn(shape, generator=generator, dtype=torch.float64)


@pytest.mark.parametrize('beta', [0, 1, 2.0])
def test_naive_route(beta):
    students, teachers = (
        [logits(seed, 2, 3, 4, 2), logits(seed + 2, 2, 3, 1, 1)] for seed in (0, 1)
    )
    total = objects = 0.0
    for student, teacher in zip(students, teachers, strict=True):
        for q_row, p_row in zip(*(_rows(x) for x in (student, teacher)), strict=True):
            objects += max(p_row)
            for q, p in zip(q_row, p_row, strict=True):
                entropy = -p * math.log(q) - (1 - p) * math.log(1 - q)
                total += abs(p - q) ** beta * entropy
    loss = SoftFocalLoss(beta, loss_weight=0.5)
    assert float(loss(students, teachers)) == pytest.approx(0.5 * total / objects, rel=1e-9)


def _rows(maps):
    return [
        [1 / (1 + math.exp(-x)) for x in maps[image, :, row, column].tolist()]
        for image in range(maps.shape[0])
        for row in range(maps.shape[2])
        for column in range(maps.shape[3])
    ]


def test_is_quality_focal_loss_where_one_class_has_a_score():
    student, target = logits(0, 6, 1), logits(1, 6, 1).sigmoid()
    labels = torch.zeros(6, dtype=torch.long)
    expected = QualityFocalLoss(reduction='sum')(student, (labels, target[:, 0]))
    value = soft_focal(student, target.logit()) * max(1.0, float(target.sum()))
    torch.testing.assert_close(value, expected)


def test_gradient_is_right_and_reaches_the_student_only():
    student, teacher = (logits(seed, 5, 3).requires_grad_() for seed in (0, 1))
    assert torch.autograd.gradcheck(lambda x: soft_focal(x, teacher), student)
    soft_focal(student, teacher).backward()
    assert teacher.grad is None


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_scores_stay_finite(dtype):
    student = torch.tensor([[6e4, -6e4, 0.0]], dtype=dtype, requires_grad=True)
    value = soft_focal(student, -student)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_no_location():
    assert soft_focal(torch.zeros(0, 3), torch.zeros(0, 3)) == 0


def test_arguments_out_of_range():
    for beta in (-1, 0.5, math.inf, math.nan):
        with pytest.raises(ValueError, match='beta: expected 0 or a finite number >= 1'):
            SoftFocalLoss(beta)
    with pytest.raises(ValueError, match="teacher: expected the student's locations"):
        SoftFocalLoss()(torch.zeros(1, 2, 3, 3), torch.zeros(1, 2, 4, 4))
    with pytest.raises(ValueError, match=r'student: expected maps \(B, C, H, W\), got \(1, 2\)'):
        SoftFocalLoss()(torch.zeros(1, 2), torch.zeros(1, 2))
