"""DLKDSupLoss: labels of views, two processes, gradients of both sides, safety, errors."""

import numpy as np
import pytest
import torch
from helpers import assert_two_processes_equal_one

from mmkd.connectors import LinearEmbed
from mmkd.losses import DLKDSupLoss
from mmkd.registry import MODELS

LABELS = torch.tensor([0, 2, 0, 1, 2, 0])


def pair(dtype=torch.float32, rows=6):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, rows, 5, generator=generator, dtype=dtype)


def loop(student, teacher, labels, tau):
    """Eq. 7 as a double loop of exponentials."""
    student, teacher = (
        x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (student, teacher)
    )
    total, rows = 0.0, len(labels)
    for own, other in ((student, teacher), (teacher, student)):
        for i in range(rows):
            weights = np.exp(other @ own[i] / tau)
            same = [j for j in range(rows) if labels[j] == labels[i]]
            total -= sum(np.log(weights[j] / weights.sum()) for j in same) / len(same)
    return total / (2 * rows)


def test_equals_the_double_loop():
    loss = MODELS.build({'type': 'mmkd.DLKDSupLoss', 'tau': 0.3, 'loss_weight': 3.0})
    student, teacher = pair(torch.float64)
    expected = 3 * loop(student, teacher, LABELS, 0.3)
    assert loss(student, teacher, LABELS).item() == pytest.approx(expected, rel=1e-10)


def test_defaults_by_hand():
    # Each anchor's positive has cosine 0 and its negative cosine 1.
    embeddings = torch.eye(2)
    value = DLKDSupLoss()(embeddings, embeddings.flip(0), torch.tensor([0, 1]))
    assert value.item() == pytest.approx(0.5 * (1 / 0.07 + np.exp(-1 / 0.07)), rel=1e-6)


def test_labels_hold_for_all_views_of_an_image():
    student, teacher = pair(torch.float64, rows=12)
    value = DLKDSupLoss(loss_weight=1.0)(student, teacher, LABELS)
    expected = loop(student, teacher, torch.cat([LABELS, LABELS]), 0.07)
    assert value.item() == pytest.approx(expected, rel=1e-10)
    interleaved = DLKDSupLoss(loss_weight=1.0)(student, teacher, LABELS.repeat_interleave(2))
    assert abs(interleaved - value) > 1e-3


def test_gradcheck_of_both_sides():
    student, teacher = pair(torch.float64)
    assert torch.autograd.gradcheck(
        lambda s, t: DLKDSupLoss()(s, t, LABELS),
        (student.requires_grad_(), teacher.clone().requires_grad_()),
    )


def test_both_embeddings_learn():
    embeddings = [LinearEmbed(5, 4), LinearEmbed(5, 4)]
    features = [x.requires_grad_() for x in pair().clone().unbind()]
    DLKDSupLoss()(*(e(x) for e, x in zip(embeddings, features, strict=True)), LABELS).backward()
    assert all(p.grad.any() for e in embeddings for p in e.parameters())


def test_a_gradient_step_of_either_side_lowers_the_loss():
    loss = DLKDSupLoss()
    student, teacher = (x.clone().requires_grad_() for x in pair())
    before = loss(student, teacher, LABELS)
    before.backward()
    assert loss(student - 0.1 * student.grad, teacher, LABELS) < before
    assert loss(student, teacher - 0.1 * teacher.grad, LABELS) < before


def test_above_zero_when_equal():
    student, _ = pair()
    assert DLKDSupLoss()(student, student, LABELS) > 0.1


def test_order_of_rows_does_not_matter():
    student, teacher = pair(torch.float64)
    order = torch.randperm(6)
    torch.testing.assert_close(
        DLKDSupLoss()(student[order], teacher[order], LABELS[order]),
        DLKDSupLoss()(student, teacher, LABELS),
    )


class OfImages(DLKDSupLoss):
    """Takes embeddings image by image, so that two processes can split them."""

    def forward(self, student, teacher, labels):
        by_view = (x.transpose(0, 1).flatten(0, 1) for x in (student, teacher))
        return super().forward(*by_view, labels)


def test_two_processes_equal_one():
    student, teacher = pair(torch.float64, rows=12).unflatten(1, (6, 2))
    arguments = (student.requires_grad_(), teacher.clone().requires_grad_(), LABELS)
    assert_two_processes_equal_one(OfImages(), *arguments, splits=(None, (0, 6), (1, 5)))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
def test_constant_rows_are_finite_without_gradient(dtype, autocast, fill):
    student = torch.full((6, 5), fill, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = DLKDSupLoss()(student, torch.ones(6, 5, dtype=dtype), LABELS)
    value.backward()
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(0.5 * np.log(6), rel=1e-5)  # uniform softmax
    assert student.grad.isfinite().all()
    assert student.grad.abs().max() < 1e-5


def test_zero_for_one_row():
    student, teacher = pair(rows=1)
    student.requires_grad_()
    value = DLKDSupLoss()(student, teacher, LABELS[:1])
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'tau': -0.1}, r'tau: expected a finite number > 0, got -0\.1'),
        ({'loss_weight': float('inf')}, 'loss_weight: expected a finite number >= 0, got inf'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        DLKDSupLoss(**options)


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((6, 5), (6, 4)), r"teacher: expected the student's shape \(6, 5\), got \(6, 4\)"),
        (((6, 5), (3, 5)), r'teacher: expected a shape \(6, D\), got \(3, 5\)'),
        (((6, 5, 1), (6, 5)), r'student: expected a shape \(B, D\), got \(6, 5, 1\)'),
    ],
)
def test_shape_errors(shapes, message):
    with pytest.raises(ValueError, match=message):
        DLKDSupLoss()(*(torch.zeros(shape) for shape in shapes), LABELS)


@pytest.mark.parametrize(
    ('labels', 'message'),
    [
        (torch.rand(6, 3), r'expected class indices \(B,\), got torch.float32 of .*\(6, 3\); soft'),
        (torch.zeros(6, 1, dtype=torch.long), r'expected class indices .* shape \(6, 1\)'),
        (torch.rand(6), r'expected class indices \(B,\), got torch.float32 of shape \(6,\)'),
        (torch.zeros(4, dtype=torch.long), 'expected one for each of the 6 rows .* got 4'),
        (torch.zeros(12, dtype=torch.long), 'expected one for each of the 6 rows .* got 12'),
        (torch.zeros(0, dtype=torch.long), 'expected one for each of the 6 rows .* got 0'),
    ],
)
def test_label_errors(labels, message):
    with pytest.raises(ValueError, match='gt_labels: ' + message):
        DLKDSupLoss()(*pair(), labels)


def test_labels_without_rows_are_an_error():
    with pytest.raises(ValueError, match=r'gt_labels: expected one for each of the 0 .* got 6'):
        DLKDSupLoss()(*pair(rows=0), LABELS)


def test_type_errors():
    with pytest.raises(TypeError, match=r'gt_labels: expected a Tensor \(B,\), got list'):
        DLKDSupLoss()(*pair(), LABELS.tolist())
    with pytest.raises(TypeError, match=r'student: expected a Tensor \(B, D\), got tuple'):
        DLKDSupLoss()((torch.zeros(6, 5),), torch.zeros(6, 5), LABELS)
