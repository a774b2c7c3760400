"""DenseBoxesLoss and scores that are products, against plain Python; gradients, a YOLOX step."""

import math

import pytest
import torch
from helpers import LEVEL_IMAGES as IMAGES
from helpers import level_maps as maps

from mmkd.functional.joint_logits import joint_logits
from mmkd.losses import DenseBoxesLoss, LDLoss, SoftFocalLoss

CLASSES, ANCHORS = 3, 2


def sigmoid(x):
    return 1 / (1 + math.exp(-x))


def naive(students, teachers, scores, objects, beta, min_score):
    """Location by location, anchor by anchor."""
    total = weight_sum = 0.0
    for student, teacher, classes, objectness in zip(
        students, teachers, scores, objects, strict=True
    ):
        _, _, height, width = student.shape
        for image, y, x in torch.cartesian_prod(
            *map(torch.arange, (IMAGES, height, width))
        ).tolist():
            for anchor in range(ANCHORS):
                own = classes[image, CLASSES * anchor : CLASSES * (anchor + 1), y, x]
                weight = sigmoid(float(own.max())) * sigmoid(float(objectness[image, anchor, y, x]))
                if weight < min_score:
                    continue
                weight_sum += weight
                for number in range(4 * anchor, 4 * anchor + 4):
                    distance = abs(
                        float(student[image, number, y, x] - teacher[image, number, y, x])
                    )
                    near = 0.5 * distance**2 / beta
                    total += weight / 4 * (near if distance < beta else distance - beta / 2)
    return total / weight_sum


@pytest.mark.parametrize('min_score', [0.0, 0.3])
@pytest.mark.parametrize('beta', [0.1, 5.0])
def test_naive_route(beta, min_score):
    students, teachers = (maps(4 * ANCHORS, seed) for seed in (0, 1))
    scores, objects = maps(CLASSES * ANCHORS, 2), maps(ANCHORS, 3)
    loss = DenseBoxesLoss(beta, min_score, loss_weight=0.5)
    expected = 0.5 * naive(students, teachers, scores, objects, beta, min_score)
    assert float(loss(students, teachers, scores, objects)) == pytest.approx(expected, rel=1e-9)


def test_gradient_reaches_the_student_only():
    student, teacher, scores = (
        torch.randn(1, 4, 2, 2, dtype=torch.float64, requires_grad=True) for _ in range(3)
    )
    loss = DenseBoxesLoss(min_score=0.0)
    assert torch.autograd.gradcheck(lambda x: loss(x, teacher, scores), student)
    loss(student, teacher, scores).backward()
    assert teacher.grad is None
    assert scores.grad is None


def test_nothing_is_learned_where_the_teacher_sees_nothing():
    student = torch.ones(1, 4, 2, 2, requires_grad=True)
    nothing = torch.full((1, 3, 2, 2), -20.0)
    loss = DenseBoxesLoss()(student, torch.zeros(1, 4, 2, 2), nothing)
    loss.backward()
    assert loss == 0
    assert not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16, torch.float32])
def test_extreme_boxes_stay_finite(dtype):
    student = torch.full((1, 4, 1, 1), 6e4, dtype=dtype, requires_grad=True)
    loss = DenseBoxesLoss()(student, -student, torch.ones(1, 2, 1, 1, dtype=dtype))
    loss.backward()
    assert loss.isfinite()
    assert student.grad.isfinite().all()


def test_maps_that_do_not_fit():
    boxes = torch.zeros(1, 8, 2, 2)
    with pytest.raises(ValueError, match='scores: expected a multiple of 2 channels'):
        DenseBoxesLoss()(boxes, boxes, torch.zeros(1, 3, 2, 2))
    with pytest.raises(ValueError, match=r'student: expected A \* 4 channels, got 6'):
        DenseBoxesLoss()(boxes[:, :6], boxes[:, :6], boxes)
    with pytest.raises(ValueError, match="scores: expected the student's locations"):
        DenseBoxesLoss()(boxes, boxes, torch.zeros(1, 2, 3, 3))
    for arguments in (dict(beta=0), dict(min_score=1), dict(loss_weight=-1)):
        with pytest.raises(ValueError, match=next(iter(arguments))):
            DenseBoxesLoss(**arguments)


# --- scores that are products


def test_logits_of_products():
    classes, objects = maps(3, 0)[0].flatten(0, 1)[:, :1], maps(1, 1)[0].flatten()[:1, None]
    rows = classes.flatten()[:, None], objects.expand(classes.numel(), 1)
    expected = rows[0].sigmoid() * rows[1].sigmoid()
    torch.testing.assert_close(joint_logits(*rows).sigmoid(), expected)


@pytest.mark.parametrize('value', [(200.0, 200.0), (-200.0, 3.0), (6e4, -6e4), (-6e4, -6e4)])
def test_logits_of_extreme_products_stay_finite(value):
    classes, objects = (torch.tensor([[x]], requires_grad=True) for x in value)
    joint = joint_logits(classes, objects)
    joint.sum().backward()
    assert joint.isfinite().all()
    assert classes.grad.isfinite().all()
    assert objects.grad.isfinite().all()


def test_objectness_of_another_shape():
    with pytest.raises(ValueError, match=r'objectness: expected a shape \(4, 1\), .* got \(4, 3\)'):
        joint_logits(torch.zeros(4, 3), torch.zeros(4, 3))


def test_soft_focal_loss_of_products_is_that_of_their_logits():
    student, teacher = maps(CLASSES, 0), maps(CLASSES, 1)
    objects = maps(1, 2), maps(1, 3)
    joint = [
        tuple((a.sigmoid() * b.sigmoid()).logit() for a, b in zip(classes, objectness, strict=True))
        for classes, objectness in zip((student, teacher), objects, strict=True)
    ]
    loss = SoftFocalLoss()
    torch.testing.assert_close(loss(student, teacher, *objects), loss(*joint))
    with pytest.raises(ValueError, match='objectness: expected that of both networks or of none'):
        loss(student, teacher, objects[0])


def test_ld_weighs_by_products():
    student, teacher, scores, objects = maps(20, 0), maps(20, 1), maps(CLASSES, 2), maps(1, 3)
    joint = tuple((a.sigmoid() * b.sigmoid()).logit() for a, b in zip(scores, objects, strict=True))
    expected = LDLoss()(student, teacher, joint)
    torch.testing.assert_close(LDLoss()(student, teacher, scores, objects), expected)
