"""LDLoss and its function against plain Python, gradients, a GFL step, errors."""

import math

import pytest
import torch
from helpers import LEVEL_IMAGES as IMAGES
from helpers import LEVEL_SIZES as SIZES
from helpers import detection_batch
from helpers import level_maps as maps

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.functional import localization_divergence
from mmkd.losses import LDLoss

BINS, CLASSES = 5, 3


def softmax(logits, tau):
    powers = [math.exp(x / tau) for x in logits]
    return [power / sum(powers) for power in powers]


def naive(students, teachers, scores, tau, min_score):
    """Location by location, edge by edge."""
    total = weight_sum = 0.0
    for student, teacher, classes in zip(students, teachers, scores, strict=True):
        _, _, height, width = student.shape
        for image, row, column in torch.cartesian_prod(
            *map(torch.arange, (IMAGES, height, width))
        ).tolist():
            best = max(classes[image, :, row, column].tolist())
            weight = 1 / (1 + math.exp(-best))
            if weight < min_score:
                continue
            weight_sum += weight
            for edge in range(4):
                bins = slice(edge * BINS, (edge + 1) * BINS)
                s = softmax(student[image, bins, row, column].tolist(), tau)
                t = softmax(teacher[image, bins, row, column].tolist(), tau)
                total += weight / 4 * sum(b * math.log(b / a) for a, b in zip(s, t, strict=True))
    return tau**2 * total / weight_sum


@pytest.mark.parametrize('tau', [1.0, 10.0])
@pytest.mark.parametrize('min_score', [0.0, 0.6])
def test_naive_route(tau, min_score):
    students, teachers, scores = maps(4 * BINS, 0), maps(4 * BINS, 1), maps(CLASSES, 2)
    loss = LDLoss(tau, min_score, loss_weight=0.5)
    expected = 0.5 * naive(students, teachers, scores, tau, min_score)
    assert float(loss(students, teachers, scores)) == pytest.approx(expected, rel=1e-9)


def test_hand_computed():
    student = torch.zeros(1, 4, 2)
    teacher = torch.tensor([[[math.log(3), 0.0]] * 4])  # three to one
    expected = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    value = localization_divergence(student, teacher, torch.ones(1), tau=1.0)
    assert float(value) == pytest.approx(expected, rel=1e-6)


def test_gradient_is_right_and_reaches_the_student_only():
    students, teachers, scores = (
        torch.cat([m.flatten(2) for m in maps(c, seed)], 2)[..., None]
        for seed, c in enumerate((4 * BINS, 4 * BINS, CLASSES))
    )
    for each in (students, teachers, scores):
        each.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: LDLoss()(x, teachers, scores), students)
    LDLoss()(students, teachers, scores).backward()
    assert teachers.grad is None
    assert scores.grad is None


def test_no_object_anywhere():
    students, teachers = maps(4 * BINS, 0)[0].requires_grad_(), maps(4 * BINS, 1)[0]
    value = LDLoss()(students, teachers, torch.full((IMAGES, CLASSES, *SIZES[0]), -20.0))
    value.backward()
    assert value == 0
    assert not students.grad.any()


def test_half_precision_of_a_confident_head_stays_finite():
    student = torch.full((1, 4 * BINS, 1, 1), 6e4, dtype=torch.float16)
    student[:, ::2] = -6e4
    student.requires_grad_()
    value = LDLoss(tau=1.0)(student, -student, torch.ones(1, CLASSES, 1, 1))
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_a_step_of_gfl(repo):
    def gfl(width):
        channels = [width << level for level in (1, 2, 3)]
        return dict(
            cfg_path=str(repo / 'configs/digits/gfl_r18w16_fpn_digits.py'),
            backbone=dict(base_channels=width),
            neck=dict(in_channels=channels),
        )

    places = dict(type='mmkd.LevelOutputs', source='bbox_head.scales')
    scores = dict(type='mmkd.LevelOutputs', source='bbox_head.gfl_cls', from_student=False)
    ld = dict(type='mmkd.LDLoss', on=places, inputs=dict(scores=scores), min_score=0.0)
    model = FrozenTeacherDistill(gfl(8), gfl(16), dict(losses=dict(ld=ld)))
    inputs, samples = detection_batch(model)
    losses = model.loss(inputs, samples)
    losses['distill.loss_ld'].backward()
    assert losses['distill.loss_ld'] > 0
    assert model.architecture.backbone.conv1.weight.grad.abs().sum() > 0


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'tau': 0}, 'tau: expected'),
        ({'min_score': 1}, r'min_score: expected a probability in \[0, 1\), got 1'),
        ({'loss_weight': -1}, 'loss_weight: expected'),
    ],
)
def test_arguments_out_of_range(arguments, message):
    with pytest.raises(ValueError, match=message):
        LDLoss(**arguments)


def test_inputs_that_do_not_fit():
    boxes, scores = maps(4 * BINS, 0), maps(CLASSES, 1)
    with pytest.raises(ValueError, match=r'scores: expected .* \[24, 8\], got \[24\]'):
        LDLoss()(boxes, boxes, scores[:1])
    with pytest.raises(ValueError, match=r'expected 4 \* bins channels .* got 3'):
        LDLoss()(scores, scores, scores)
    with pytest.raises(ValueError, match=r"teacher: expected the student's shape"):
        LDLoss()(boxes, maps(8, 0), scores)
    with pytest.raises(ValueError, match='weights: expected one for each of 2 locations'):
        localization_divergence(torch.zeros(2, 4, 3), torch.zeros(2, 4, 3), torch.ones(3))
