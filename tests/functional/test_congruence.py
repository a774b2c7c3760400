"""Correlation congruence against NumPy, scikit-learn and by hand; gradients and edge cases."""

import math

import numpy as np
import pytest
import torch
from sklearn.metrics.pairwise import rbf_kernel

from mmkd.functional import correlation, correlation_congruence

KERNELS = [
    {'kernel': 'mmd'},
    {'kernel': 'bilinear'},
    {'kernel': 'rbf', 'order': None},
    {'kernel': 'rbf', 'order': 1},
    {'kernel': 'rbf', 'order': 3},
]
EVERY_KERNEL = pytest.mark.parametrize(
    'options', KERNELS, ids=lambda o: f'{o["kernel"]}-{o.get("order")}'
)


def features(rows=6, width=5, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(rows, width, generator=generator, dtype=torch.float64).to(dtype) / 2


def entry(x, y, kernel, gamma=0.4, order=2):
    """Correlation of two samples, term by term."""
    if kernel == 'mmd':
        return abs(x.mean() - y.mean())
    if kernel == 'bilinear':
        return x @ y
    if order is None:
        return math.exp(-gamma * ((x - y) ** 2).sum())
    damping = math.exp(-gamma * (x @ x + y @ y))
    return sum(damping * (2 * gamma * (x @ y)) ** p / math.factorial(p) for p in range(order + 1))


def by_entries(x, **options):
    return torch.tensor(np.array([[entry(a, b, **options) for b in x] for a in x]))


@EVERY_KERNEL
@pytest.mark.parametrize('gamma', [0.4, 2.0])
def test_equals_the_definition(options, gamma):
    x = features()
    expected = by_entries(x.numpy(), gamma=gamma, **options)
    torch.testing.assert_close(correlation(x, gamma=gamma, **options), expected)


def test_exact_rbf_equals_scikit_learn():
    x = 3 * features(width=40)
    expected = torch.from_numpy(rbf_kernel(x, gamma=0.05))
    torch.testing.assert_close(correlation(x, 'rbf', 0.05, None), expected)


@pytest.mark.parametrize('order', [1, 2, 3])
def test_series_of_unit_vectors_is_the_papers(order):
    """Eq. 9, whose coefficients do not depend on the features."""
    x = torch.nn.functional.normalize(features())
    gamma = 0.4
    expected = sum(
        math.exp(-2 * gamma) * (2 * gamma) ** p / math.factorial(p) * (x @ x.T) ** p
        for p in range(order + 1)
    )
    torch.testing.assert_close(correlation(x, gamma=gamma, order=order), expected)


def test_series_converges_to_the_exact_kernel():
    x = features()
    exact = correlation(x, order=None)
    errors = [(correlation(x, order=order) - exact).abs().max() for order in (1, 2, 3, 30)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] < 1e-14


def test_hand_computed():
    x = torch.tensor([[3.0, 1.0], [1.0, 0.0]])
    assert correlation(x, 'mmd').tolist() == [[0.0, 1.5], [1.5, 0.0]]
    assert correlation(x, 'bilinear').tolist() == [[10.0, 3.0], [3.0, 1.0]]
    # |x0 - x1|^2 = 5; |x0|^2 + |x1|^2 = 11
    exact, series = math.exp(-0.5), math.exp(-1.1) * (1 + 0.6)
    assert correlation(x, gamma=0.1, order=None)[0, 1].item() == pytest.approx(exact)
    assert correlation(x, gamma=0.1, order=1)[0, 1].item() == pytest.approx(series)


def test_congruence_hand_computed():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0]])
    teacher = torch.tensor([[2.0], [1.0]])
    # [[1, 0], [0, 1]] against [[4, 2], [2, 1]]: (9 + 4 + 4 + 0) / 4
    assert correlation_congruence(student, teacher, 'bilinear') == 17 / 4


@EVERY_KERNEL
def test_congruence_equals_a_double_loop(options):
    s, t = features(), features(width=3, seed=1)
    total = sum(
        (
            entry(s[i].numpy(), s[j].numpy(), **options)
            - entry(t[i].numpy(), t[j].numpy(), **options)
        )
        ** 2
        for i in range(6)
        for j in range(6)
    )
    assert correlation_congruence(s, t, **options).item() == pytest.approx(total / 36)


@EVERY_KERNEL
def test_permutation_of_the_batch_changes_nothing(options):
    s, t, order = features(), features(seed=1), torch.tensor([3, 0, 5, 1, 4, 2])
    value = correlation_congruence(s, t, **options)
    torch.testing.assert_close(correlation_congruence(s[order], t[order], **options), value)
    assert abs(correlation_congruence(s[order], t, **options) - value) > 1e-4


def test_rotation_and_shift():
    x = features()
    rotation = torch.linalg.qr(features(5, 5, seed=2)).Q
    for options in KERNELS[1:]:
        torch.testing.assert_close(correlation(x @ rotation, **options), correlation(x, **options))
    exact = {'kernel': 'rbf', 'order': None}
    torch.testing.assert_close(correlation(x + 7, **exact), correlation(x, **exact))
    torch.testing.assert_close(correlation(x + 7, 'mmd'), correlation(x, 'mmd'))


@EVERY_KERNEL
def test_gradcheck(options):
    arguments = (features().requires_grad_(), features(width=3, seed=1).requires_grad_())
    assert torch.autograd.gradcheck(lambda s, t: correlation_congruence(s, t, **options), arguments)


@EVERY_KERNEL
def test_zero_without_gradient_when_equal(options):
    student = features(dtype=torch.float32).requires_grad_()
    value = correlation_congruence(student, student.detach().clone(), **options)
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_mmd_has_no_gradient_where_two_means_meet():
    student = torch.tensor([[1.0, 2.0], [2.0, 1.0], [0.0, 0.0]], requires_grad=True)
    correlation(student, 'mmd')[0, 1].backward()
    assert not student.grad.any()


def test_exact_rbf_is_one_on_the_diagonal_and_never_above():
    """Squared distances of long, nearly equal rows may round below 0."""
    x = 100 * features(64, 128, dtype=torch.float32)
    kernel = correlation(torch.cat([x, x * (1 + 1e-7)]), gamma=1e-3, order=None)
    assert kernel.diagonal().eq(1).all()
    assert kernel.max() == 1


def test_exact_rbf_keeps_its_digits_under_an_offset():
    x = features() + 1000
    exact = correlation(x, order=None)
    torch.testing.assert_close(
        correlation(x.float(), order=None).double(), exact, rtol=0, atol=1e-3
    )


@EVERY_KERNEL
@pytest.mark.parametrize('rows', [1, 4])
@pytest.mark.parametrize('fill', [0.0, 0.1, 3e3])
def test_constant_and_zero_features_are_finite(options, rows, fill):
    student = torch.full((rows, 8), fill, requires_grad=True)
    value = correlation_congruence(student, features(rows, 8, dtype=torch.float32), **options)
    value.backward()
    assert value >= 0
    assert value.isfinite()
    assert student.grad.isfinite().all()
    same = correlation_congruence(student.detach(), student.detach().clone(), **options)
    assert same == 0


@pytest.mark.parametrize('options', [KERNELS[0], KERNELS[2]], ids=['mmd', 'rbf'])
def test_kernels_of_differences_see_nothing_in_a_single_or_constant_row(options):
    for rows in (1, 4):
        student = torch.full((rows, 8), 0.3, requires_grad=True)
        value = correlation_congruence(student, torch.ones(rows, 5), **options)
        value.backward()
        assert value == 0
        assert not student.grad.any()


@pytest.mark.parametrize('order', [1, 2, 8, None])
@pytest.mark.parametrize('scale', [1e-4, 6e4])
def test_rbf_neither_overflows_nor_vanishes_into_nan(order, scale):
    x = (features(4, 128).sign() * scale).half().requires_grad_()
    kernel = correlation(x, order=order)
    kernel.sum().backward()
    assert kernel.isfinite().all()
    assert kernel.max() <= 1 + 1e-6  # a rounding of each factor
    assert x.grad.isfinite().all()


@EVERY_KERNEL
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast(options, dtype):
    s, t = features(dtype=dtype), features(seed=1, dtype=dtype)
    value = correlation_congruence(s, t, **options)
    assert value.dtype == torch.float32
    assert torch.equal(value, correlation_congruence(s.float(), t.float(), **options))


@EVERY_KERNEL
def test_autocast_changes_nothing(options):
    t = features(seed=1, dtype=torch.float32)
    plain, cast = (features(dtype=torch.float32).requires_grad_() for _ in range(2))
    expected = correlation_congruence(plain, t, **options)
    expected.backward()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = correlation_congruence(cast, t, **options)
    value.backward()
    assert torch.equal(value, expected)
    assert torch.equal(cast.grad, plain.grad)


@EVERY_KERNEL
@pytest.mark.parametrize('rows', [1, 4])
def test_a_diverged_input_is_not_hidden(options, rows):
    student = features(rows, dtype=torch.float32)
    student[0, 0] = float('nan')
    assert correlation_congruence(student, features(rows), **options).isnan()
    assert correlation_congruence(features(rows), student, **options).isnan()


@pytest.mark.parametrize(
    ('shapes', 'options', 'message'),
    [
        (((3,), (3,)), {}, r'features: expected a shape \(B, D\), got \(3,\)'),
        (((3, 2), (4, 2)), {}, r'teacher: expected a shape \(3, D\), got \(4, 2\)'),
        (((3, 2), (3, 2, 1)), {}, r'teacher: expected a shape \(3, D\), got \(3, 2, 1\)'),
        (((3, 2), (3, 2)), {'kernel': 'cosine'}, "kernel: expected one of .* got 'cosine'"),
        (((3, 2), (3, 2)), {'gamma': 0.0}, r'gamma: expected a finite number > 0, got 0\.0'),
        (((3, 2), (3, 2)), {'gamma': float('nan')}, 'gamma: expected a finite number > 0, got nan'),
        (((3, 2), (3, 2)), {'order': 0}, 'order: expected a positive integer, got 0'),
    ],
)
def test_errors(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        correlation_congruence(torch.randn(shapes[0]), torch.randn(shapes[1]), **options)
