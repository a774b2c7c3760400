"""The supervised contrast against a double loop, by hand, and by its properties."""

import numpy as np
import pytest
import torch
from scipy.special import logsumexp

from mmkd.functional import supervised_contrastive

LABELS = torch.tensor([0, 2, 0, 1, 2, 0])


def pair(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return torch.randn(2, 6, 5, generator=generator, dtype=dtype)


def loop(student, teacher, labels, tau):
    student, teacher = (
        x.numpy() / np.linalg.norm(x.numpy(), axis=1, keepdims=True) for x in (student, teacher)
    )
    anchors = []
    for own, other in ((student, teacher), (teacher, student)):
        for i in range(len(own)):
            similar = [float(own[i] @ other[k]) / tau for k in range(len(other))]
            positives = [k for k in range(len(other)) if labels[k] == labels[i]]
            logs = [similar[j] - logsumexp(similar) for j in positives]
            anchors.append(-sum(logs) / len(positives))
    return sum(anchors) / len(anchors)


@pytest.mark.parametrize('tau', [0.07, 1.0])
def test_equals_the_double_loop(tau):
    student, teacher = pair()
    value = supervised_contrastive(student, teacher, LABELS, tau)
    assert value.item() == pytest.approx(loop(student, teacher, LABELS, tau), rel=1e-10)


def test_by_hand():
    # Student anchors see logits (1, 0) and (1, 0); teacher anchors (1, 1) and (0, 0).
    student, teacher = torch.tensor([[1.0, 0.0], [3.0, 0.0]]), torch.eye(2)
    one = np.log(1 + np.exp(-1))
    expected = (one + (1 + one) + 2 * np.log(2)) / 4
    value = supervised_contrastive(student, teacher, torch.tensor([3, 7]), tau=1.0)
    assert value.item() == pytest.approx(expected, rel=1e-6)


def test_gradcheck_in_both_arguments():
    student, teacher = pair()
    assert torch.autograd.gradcheck(
        lambda s, t: supervised_contrastive(s, t, LABELS),
        (student.requires_grad_(), teacher.clone().requires_grad_()),
    )


def test_networks_are_interchangeable():
    student, teacher = pair()
    torch.testing.assert_close(
        supervised_contrastive(student, teacher, LABELS),
        supervised_contrastive(teacher, student, LABELS),
    )


def test_order_of_rows_and_names_of_classes_do_not_matter():
    student, teacher = pair()
    order = torch.randperm(6)
    torch.testing.assert_close(
        supervised_contrastive(student[order], teacher[order], 10 - LABELS[order]),
        supervised_contrastive(student, teacher, LABELS),
    )


def test_separated_classes_lose_as_much_as_their_positives_share():
    # If each class has one direction, an anchor's softmax is uniform over its N_y positives.
    features = torch.eye(3)[LABELS]
    value = supervised_contrastive(features, features, LABELS, tau=0.01)
    sizes = LABELS.bincount()[LABELS].float()
    torch.testing.assert_close(value, sizes.log().mean())


def test_one_class_of_equal_rows_has_no_gradient():
    features = torch.ones(4, 3, requires_grad=True)
    value = supervised_contrastive(features, torch.ones(4, 3), torch.zeros(4, dtype=torch.long))
    value.backward()
    assert value.item() == pytest.approx(np.log(4))
    assert features.grad.abs().max() < 1e-6


def test_zero_for_one_row():
    student, teacher = pair(torch.float32)[:, :1]
    student.requires_grad_()
    value = supervised_contrastive(student, teacher, LABELS[:1])
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_zeros_are_finite():
    student, teacher = pair(torch.float32)
    student[2] = 0
    student.requires_grad_()
    value = supervised_contrastive(student, teacher, LABELS)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()
    assert not student.grad[2].any()


@pytest.mark.parametrize('side', [0, 1])
def test_nan_is_not_hidden(side):
    features = pair(torch.float32)
    features[side, 0, 0] = float('nan')
    assert supervised_contrastive(*features, LABELS).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_change_nothing(dtype):
    student, teacher = pair(torch.float32).to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = supervised_contrastive(student, teacher, LABELS)
    assert value.dtype == torch.float32
    assert torch.equal(value, supervised_contrastive(student.float(), teacher.float(), LABELS))


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((6, 5), (6, 4), (6,)), r"teacher: expected the student's shape \(6, 5\), got \(6, 4\)"),
        (((6, 5), (6, 5), (3,)), r'labels: expected a shape \(6,\), got \(3,\)'),
        (((6, 5), (6, 5), (6, 2)), r'labels: expected a shape \(6,\), got \(6, 2\)'),
    ],
)
def test_shape_errors(shapes, message):
    student, teacher, labels = (torch.zeros(shape) for shape in shapes)
    with pytest.raises(ValueError, match=message):
        supervised_contrastive(student, teacher, labels.long())


def test_temperature_error():
    with pytest.raises(ValueError, match=r'tau: expected a finite number > 0, got -1'):
        supervised_contrastive(*pair(), LABELS, tau=-1)
