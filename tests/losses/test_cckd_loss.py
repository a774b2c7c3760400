"""CCKDLoss: weight, options, both sides' gradients, processes, errors."""

import math

import numpy as np
import pytest
import torch
from helpers import assert_two_processes_equal_one

from mmkd.functional import correlation_congruence
from mmkd.losses import CCKDLoss
from mmkd.losses.base import relational_loss
from mmkd.registry import MODELS


def embeddings(rows=8, width=6, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, width, generator=generator, dtype=torch.float64)
    return torch.nn.functional.normalize(x).to(dtype)


def test_is_registered_with_the_papers_settings():
    loss = MODELS.build({'type': 'mmkd.CCKDLoss'})
    assert isinstance(loss, CCKDLoss)
    assert (loss.kernel, loss.gamma, loss.order, loss.loss_weight) == ('rbf', 0.4, 2, 0.003)
    assert loss.gather


def test_equals_the_papers_formula_in_numpy():
    """Eq. 6 and 9, for unit vectors."""
    student, teacher = embeddings(dtype=torch.float64), embeddings(seed=1, dtype=torch.float64)

    def matrix(f):
        inner = np.einsum('id,jd->ij', f, f)
        return sum(np.exp(-0.8) * 0.8**p / math.factorial(p) * np.power(inner, p) for p in range(3))

    expected = 0.003 * np.mean((matrix(student.numpy()) - matrix(teacher.numpy())) ** 2)
    assert CCKDLoss()(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_hand_computed():
    student, teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0]]), torch.tensor([[1.0], [1.0]])
    # Off the diagonal: e^-0.8 (1 + 0.8 + 0.32) if vectors agree, e^-0.8 if they are orthogonal.
    difference = math.exp(-0.8) * 1.12
    value = CCKDLoss(loss_weight=2.0)(student, teacher)
    assert value.item() == pytest.approx(2 * 2 * difference**2 / 4)


@pytest.mark.parametrize(
    'options',
    [{'kernel': 'mmd'}, {'kernel': 'bilinear'}, {'gamma': 1.5}, {'order': None}, {'order': 1}],
    ids=str,
)
def test_passes_its_options_on(options):
    student, teacher = embeddings(), embeddings(width=4, seed=1)
    value = CCKDLoss(loss_weight=1.0, **options)(student, teacher)
    torch.testing.assert_close(value, correlation_congruence(student, teacher, **options))
    assert abs(value - CCKDLoss(loss_weight=1.0)(student, teacher)) > 1e-4


def test_gradient_reaches_both_sides():
    """The teacher's embedding is trained with the student's."""
    arguments = [embeddings(seed=s, dtype=torch.float64).requires_grad_() for s in (0, 1)]
    assert torch.autograd.gradcheck(CCKDLoss(loss_weight=1.0), arguments)
    CCKDLoss()(*arguments).backward()
    assert all(x.grad.any() for x in arguments)


def test_a_teacher_without_graph_is_left_alone():
    student, teacher = embeddings().requires_grad_(), embeddings(seed=1)
    CCKDLoss()(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


def test_gradient_steps_lower_the_loss():
    student, teacher = embeddings().requires_grad_(), embeddings(seed=1)
    loss = CCKDLoss(loss_weight=1.0)
    before = loss(student, teacher)
    before.backward()
    assert loss((student - student.grad).detach(), teacher) < before


def test_two_processes_equal_one():
    student, teacher = embeddings().requires_grad_(), embeddings(seed=1).requires_grad_()
    splits = (None, (0, 8), (3, 5))
    assert_two_processes_equal_one(CCKDLoss(loss_weight=1.0), student, teacher, splits=splits)


def test_gather_joins_both_sides_or_none(monkeypatch):
    joined = []
    monkeypatch.setattr(relational_loss, 'gather_rows', lambda x: joined.append(x) or x)
    student, teacher = embeddings(), embeddings(seed=1)
    CCKDLoss(gather=False)(student, teacher)
    assert joined == []
    CCKDLoss()(student, teacher)
    assert [id(x) for x in joined] == [id(student), id(teacher)]


def test_permutation_of_the_batch_changes_nothing():
    student, teacher = embeddings(dtype=torch.float64), embeddings(seed=1, dtype=torch.float64)
    order = torch.tensor([5, 2, 7, 0, 1, 6, 3, 4])
    loss = CCKDLoss()
    torch.testing.assert_close(loss(student[order], teacher[order]), loss(student, teacher))


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
def test_zero_without_gradient_when_equal(dtype, autocast):
    student = embeddings(dtype=dtype).requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = CCKDLoss()(student, student.detach().clone())
    value.backward()
    assert value == 0
    assert value.dtype == torch.float32
    assert not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('kernel', ['mmd', 'bilinear', 'rbf'])
@pytest.mark.parametrize('rows', [1, 8])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
def test_degenerate_embeddings_are_finite(dtype, kernel, rows, fill):
    student = torch.full((rows, 6), fill, dtype=dtype, requires_grad=True)
    value = CCKDLoss(kernel, loss_weight=1e-12)(student, embeddings(rows, dtype=dtype))
    value.backward()
    assert value >= 0
    assert value.isfinite()
    assert student.grad.isfinite().all()


def test_a_diverged_student_is_not_hidden():
    student = embeddings()
    student[0, 0] = float('nan')
    assert CCKDLoss()(student, embeddings(seed=1)).isnan()


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'kernel': 'cosine'}, "kernel: expected one of .* got 'cosine'"),
        ({'gamma': -1.0}, r'gamma: expected a finite number > 0, got -1\.0'),
        ({'order': 1.5}, r'order: expected a positive integer, got 1\.5'),
        ({'loss_weight': -1}, 'loss_weight: expected a finite number >= 0, got -1'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        CCKDLoss(**options)


def test_shape_errors():
    with pytest.raises(ValueError, match=r'student: expected a shape \(B, D\), got \(8, 6, 1\)'):
        CCKDLoss()(embeddings()[..., None], embeddings())
    with pytest.raises(ValueError, match=r'teacher: expected a shape \(8, D\), got \(7, 6\)'):
        CCKDLoss()(embeddings(), embeddings(7))


def test_type_error():
    with pytest.raises(TypeError, match=r'teacher: expected a Tensor .* got tuple; choose an item'):
        CCKDLoss()(embeddings(), (embeddings(),))
