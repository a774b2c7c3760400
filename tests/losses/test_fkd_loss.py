"""FKDLoss: both terms, ensembles, a batch of its own, processes, safety, errors."""

import numpy as np
import pytest
import torch
from helpers import assert_two_processes_equal_one
from sklearn.metrics.pairwise import cosine_similarity

from mmkd.losses import FKDLoss
from mmkd.registry import MODELS

KERNEL = {'kernel_weight': 1.0, 'regularization_weight': 0.0}
PENALTY = {'kernel_weight': 0.0, 'regularization_weight': 1.0}


def features(rows=6, width=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(rows, width, generator=generator, dtype=torch.float64) + 0.3).to(dtype)


def algorithm(student, teachers, regularized):
    """The published sum with its weights, by scikit-learn's cosines."""
    rows = len(student)
    target = np.mean([cosine_similarity(t.numpy()) for t in teachers], 0)
    squares = (cosine_similarity(student.numpy()) - target) ** 2
    off_diagonal = squares.sum() - np.trace(squares)
    return 300 * off_diagonal / (rows * (rows - 1)) + 20 * np.mean(regularized.numpy() ** 2)


def test_equals_the_algorithm():
    student, teacher = features(dtype=torch.float64), features(width=7, seed=1, dtype=torch.float64)
    loss = MODELS.build({'type': 'mmkd.FKDLoss'})
    expected = algorithm(student, [teacher], student)
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)
    assert FKDLoss(loss_weight=0.1)(student, teacher).item() == pytest.approx(expected / 10)


@pytest.mark.parametrize('container', [tuple, list])
def test_ensemble_and_a_batch_of_its_own(container):
    student = features(dtype=torch.float64)
    teachers = [features(width=w, seed=w, dtype=torch.float64) for w in (2, 5, 9)]
    regularized = features(rows=11, width=3, seed=1, dtype=torch.float64)
    value = FKDLoss()(student, container(teachers), regularized)
    assert value.item() == pytest.approx(algorithm(student, teachers, regularized), rel=1e-12)


def test_hand_computed():
    student = torch.tensor([[3.0, 0.0], [3.0, 4.0]])  # cosine 0.6, mean square 34 / 4
    teacher = torch.tensor([[2.0], [-1.0]])  # cosine -1
    loss = FKDLoss(kernel_weight=10.0, regularization_weight=2.0, loss_weight=0.5)
    assert loss(student, teacher).item() == pytest.approx(0.5 * (10 * 1.6**2 + 2 * 8.5))
    ensemble = (teacher, teacher.abs())  # mean cosine 0
    assert loss(student, ensemble).item() == pytest.approx(0.5 * (10 * 0.6**2 + 2 * 8.5))


def test_only_the_penalty_sees_the_scale_of_the_features():
    student, teacher = features(), features(width=7, seed=1)
    kernel, penalty = FKDLoss(**KERNEL), FKDLoss(**PENALTY)
    torch.testing.assert_close(kernel(5 * student, 3 * teacher), kernel(student, teacher))
    torch.testing.assert_close(penalty(5 * student, teacher), 25 * penalty(student, teacher))


def test_is_permutation_invariant():
    student, teacher = features(), features(width=7, seed=1)
    order = torch.tensor([4, 2, 5, 0, 1, 3])
    loss = FKDLoss()
    value = loss(student, teacher)
    torch.testing.assert_close(loss(student[order], teacher[order]), value)
    assert abs(loss(student[order], teacher) - value) > 1e-2


def test_gradcheck():
    student, teacher = features(dtype=torch.float64), features(width=7, seed=1, dtype=torch.float64)
    regularized = features(rows=3, seed=2, dtype=torch.float64).requires_grad_()
    student.requires_grad_()
    loss = FKDLoss(kernel_weight=3.0, regularization_weight=2.0)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student)
    assert torch.autograd.gradcheck(lambda s, r: loss(s, teacher, r), (student, regularized))


def test_gradient_reaches_the_student_only():
    student, regularized = features().requires_grad_(), features(seed=1).requires_grad_()
    teachers = tuple(features(seed=seed).requires_grad_() for seed in (2, 3))
    FKDLoss()(student, teachers, regularized).backward()
    assert student.grad.any()
    assert regularized.grad.any()
    assert all(teacher.grad is None for teacher in teachers)


def test_kernel_term_is_zero_without_gradient_when_equal():
    student = features().requires_grad_()
    value = FKDLoss(regularization_weight=0.0)(student, student.detach().clone())
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_never_negative():
    loss = FKDLoss(regularization_weight=0.0)
    for seed in range(20):
        student = features(20, seed=seed)
        assert loss(student, student * (1 + 1e-6 * seed)) >= 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('rows', [1, 6])
@pytest.mark.parametrize('autocast', [False, True])
def test_features_of_zeros_have_no_gradient(dtype, rows, autocast):
    student = torch.zeros(rows, 4, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = FKDLoss()(student, features(rows, dtype=dtype))
    value.backward()
    assert value.isfinite()
    assert (value == 0) == (rows == 1)  # uncorrelated is not what the teacher says of any pair
    assert not student.grad.any()


def test_constant_features_have_a_penalty_only():
    teacher = torch.full((6, 3), 0.1)
    student = torch.full((6, 4), 3.0, requires_grad=True)
    value = FKDLoss()(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(20 * 9)
    torch.testing.assert_close(student.grad, torch.full((6, 4), 20 * 2 * 3.0 / 24))


def test_a_single_sample_has_a_penalty_only():
    student = torch.tensor([[1.0, 3.0]], requires_grad=True)
    value = FKDLoss()(student, torch.randn(1, 5))
    value.backward()
    assert value.item() == pytest.approx(20 * 5)
    torch.testing.assert_close(student.grad, 20 * student.detach())


@pytest.mark.parametrize('rows', [1, 4])
@pytest.mark.parametrize('which', [0, 1, 2])
def test_a_diverged_input_is_not_hidden(rows, which):
    arguments = [features(rows, seed=seed) for seed in range(3)]
    arguments[which][0, 0] = float('nan')
    assert FKDLoss()(*arguments).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    student, teacher = features(dtype=dtype) * 300, features(seed=1, dtype=dtype)
    upcast = student.float().requires_grad_()
    student.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = FKDLoss()(student, teacher)
    value.backward()
    expected = FKDLoss()(upcast, teacher.float())
    expected.backward()
    assert value.dtype == torch.float32
    assert value > 65504  # beyond float16
    assert torch.equal(value, expected)
    torch.testing.assert_close(student.grad.float(), upcast.grad, rtol=2**-7, atol=1e-3)


@pytest.mark.parametrize('own_batch', [False, True])
def test_two_processes_equal_one_with_unequal_shares(own_batch):
    student, teacher = features(7).requires_grad_(), features(7, 9, seed=1)
    regularized = [features(5, 3, seed=2).requires_grad_()] if own_batch else []
    loss = FKDLoss(kernel_weight=3.0, regularization_weight=2.0)
    splits = (None,) if own_batch else (None, (0, 7), (2, 5))
    assert_two_processes_equal_one(loss, student, teacher, *regularized, splits=splits)


@pytest.mark.parametrize('name', ['kernel_weight', 'regularization_weight', 'loss_weight'])
@pytest.mark.parametrize('value', [-1, float('nan'), float('inf')])
def test_construction_errors(name, value):
    with pytest.raises(ValueError, match=f'^{name}: expected a finite number >= 0, got {value}'):
        FKDLoss(**{name: value})


@pytest.mark.parametrize(
    ('student', 'teacher', 'regularized', 'message'),
    [
        ((6, 4, 1), (6, 4), None, r'student: expected a shape \(B, D\), got \(6, 4, 1\)'),
        ((6, 4), (5, 4), None, r'teacher: expected a shape \(6, D\), got \(5, 4\)'),
        ((6, 4), [(6, 4), (6,)], None, r'teacher\[1\]: expected a shape \(6, D\), got \(6,\)'),
        ((6, 4), [], None, r'teacher: expected at least one Tensor \(B, D\), got an empty'),
        ((6, 4), (6, 4), (9,), r'regularized: expected a shape \(B, D\), got \(9,\)'),
    ],
)
def test_shape_errors(student, teacher, regularized, message):
    if isinstance(teacher, list):
        teacher = tuple(torch.zeros(shape) for shape in teacher)
    else:
        teacher = torch.zeros(teacher)
    regularized = None if regularized is None else torch.zeros(regularized)
    with pytest.raises(ValueError, match='^' + message):
        FKDLoss()(torch.zeros(student), teacher, regularized)


def test_type_errors():
    x = torch.zeros(6, 4)
    with pytest.raises(TypeError, match=r'^student: expected a Tensor .* got tuple; .* data_idx'):
        FKDLoss()((x,), x)
    with pytest.raises(TypeError, match=r'^teacher\[0\]: expected a Tensor .* got tuple'):
        FKDLoss()(x, ((x,),))
    with pytest.raises(TypeError, match=r'^teacher: expected a Tensor .* got dict'):
        FKDLoss()(x, {'first': x})
