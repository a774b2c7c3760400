"""Soft ranks against independent solvers, their gradients, invariances and edge cases."""

import importlib
import itertools

import numpy as np
import pytest
import torch
from scipy import optimize
from scipy.stats import rankdata
from sklearn.isotonic import isotonic_regression

from mmkd.functional import soft_rank
from mmkd.functional.ranking import numpy_sort
from mmkd.functional.ranking.isotonic import by_dropping, by_merging

# In the package, the function shadows this module.
module = importlib.import_module('mmkd.functional.ranking.soft_rank')
BOTH = pytest.mark.parametrize('method', ['fast', 'pairwise'])


@pytest.fixture(params=['dropping', 'merging', 'no numpy'])
def way(request, monkeypatch):
    """The ways to find blocks: on a CPU, on other devices, and without NumPy."""
    solver = by_merging if request.param == 'merging' else by_dropping
    monkeypatch.setattr(module, 'pool', solver)
    monkeypatch.setattr(numpy_sort, '_HAS_NUMPY', request.param != 'no numpy')


def rows(n, kind='normal', batch=(8,), seed=0, dtype=torch.float64):
    generator = np.random.default_rng(seed)
    x = {
        'normal': lambda: generator.normal(size=(*batch, n)),
        'tied': lambda: generator.integers(0, 4, size=(*batch, n)) + 0.1,
        'peaked': lambda: generator.normal(size=(*batch, n)) + 12 * (np.arange(n) == n // 2),
        'heavy': lambda: np.exp(3 * generator.normal(size=(*batch, n))),
    }[kind]()
    return torch.tensor(x, dtype=dtype)


def in_units(row, strength):
    return row / (strength * np.ptp(row) / (len(row) - 1))


def by_isotonic_regression(row, strength):
    order = np.argsort(row, kind='stable')
    z, w = in_units(row, strength)[order], np.arange(1, len(row) + 1)
    ranks = np.empty(len(row))
    ranks[order] = z - isotonic_regression(z - w)
    return ranks


def freeze_unit(monkeypatch):
    """Keep the detached unit of the rows at its first value."""
    original, kept = module._per_unit, []

    def frozen(*arguments):
        kept[:] = kept or [original(*arguments)]
        return kept[0]

    monkeypatch.setattr(module, '_per_unit', frozen)


@pytest.mark.parametrize('kind', ['normal', 'tied', 'peaked', 'heavy'])
@pytest.mark.parametrize('n', [2, 3, 10, 101, 1000])
@pytest.mark.parametrize('strength', [0.03, 0.3, 1.0, 10.0])
def test_equals_isotonic_regression(way, kind, n, strength):
    x = rows(n, kind)
    x[:, 0] += 0.01  # not constant, and of every n
    expected = np.stack([by_isotonic_regression(row, strength) for row in x.numpy()])
    np.testing.assert_allclose(soft_rank(x, strength), expected, rtol=0, atol=1e-9)


@pytest.mark.parametrize('kind', ['normal', 'tied', 'heavy'])
@pytest.mark.parametrize('strength', [0.1, 0.3, 1.0, 3.0])
def test_is_the_nearest_point_of_the_permutahedron(kind, strength):
    """It is inside by majorization, and nearest: no vertex is at an acute angle to the residual."""
    n = 6
    vertices = np.array(list(itertools.permutations(range(1, n + 1))))
    for row in rows(n, kind).numpy():
        y = soft_rank(torch.tensor(row), strength).numpy()
        below = np.sort(y).cumsum() - np.arange(1, n + 1).cumsum()
        assert below.min() > -1e-9
        assert below[-1] == pytest.approx(0, abs=1e-9)
        assert ((vertices - y) @ (in_units(row, strength) - y)).max() < 1e-7


def test_equals_a_general_solver():
    n, strength = 5, 0.7
    subsets = [list(s) for k in range(1, n) for s in itertools.combinations(range(n), k)]
    constraints = [{'type': 'eq', 'fun': lambda y: y.sum() - n * (n + 1) / 2}] + [
        {'type': 'ineq', 'fun': lambda y, s=s: y[s].sum() - len(s) * (len(s) + 1) / 2}
        for s in subsets
    ]
    for row in rows(n, batch=(4,)).numpy():
        z = in_units(row, strength)
        z = z - z.mean() + (n + 1) / 2  # the projection does not see the mean; the solver likes it
        solution = optimize.minimize(
            lambda y, z=z: ((y - z) ** 2).sum(),
            rankdata(row),
            constraints=constraints,
            options={'ftol': 1e-14, 'maxiter': 500},
        )
        np.testing.assert_allclose(soft_rank(torch.tensor(row), strength), solution.x, atol=1e-5)


def test_hand_computed():
    # z = (0, 6, 2, 2.4); less (1, 4, 2, 3), sorted: (-1, 0, -0.6, 2), of which the middle pools
    # at -0.3.
    x = torch.tensor([0.0, 9.0, 3.0, 3.6], dtype=torch.float64)
    expected = torch.tensor([1.0, 4.0, 2.3, 2.7], dtype=torch.float64)
    torch.testing.assert_close(soft_rank(x, 0.5), expected)


def test_gradient_by_hand(way):
    x = torch.tensor([0.0, 9.0, 3.0, 3.6], dtype=torch.float64, requires_grad=True)
    weight = torch.tensor([7.0, 5.0, 1.0, 4.0], dtype=torch.float64)
    (soft_rank(x, 0.5) * weight).sum().backward()
    # The unit is 0.5 * 9 / 3; the pooled pair keeps its deviations from 2.5.
    expected = torch.tensor([0.0, 0.0, -1.5, 1.5], dtype=torch.float64) / 1.5
    torch.testing.assert_close(x.grad, expected)


def test_pairwise_by_hand():
    x = rows(7, batch=(3,))
    for row, ranks in zip(x.numpy(), soft_rank(x, 0.8, 'pairwise').numpy(), strict=True):
        z = in_units(row, 0.8)
        for i in range(7):
            others = [1 / (1 + np.exp(z[j] - z[i])) for j in range(7) if j != i]
            assert ranks[i] == pytest.approx(1 + sum(others))


@BOTH
@pytest.mark.parametrize('kind', ['normal', 'tied', 'peaked'])
@pytest.mark.parametrize('n', [2, 10, 200])
def test_a_small_strength_gives_average_ranks(method, kind, n):
    x = rows(n, kind)
    expected = rankdata(x.numpy(), axis=1)
    np.testing.assert_allclose(soft_rank(x, 1e-7, method), expected, rtol=0, atol=1e-9)


def test_ties_are_exact_however_small_the_strength(way):
    x = torch.tensor([5.0, 0.0, 5.0, 1.0, 0.0, 1e4, 0.0])
    expected = torch.tensor([5.5, 2.0, 5.5, 4.0, 2.0, 7.0, 2.0])
    assert torch.equal(soft_rank(x, 1e-15), expected)


@pytest.mark.parametrize('sign', [1, -1])
def test_a_far_outlier_costs_no_digits(way, sign):
    x = torch.tensor([0.0, 0.4, 2.5, 2.9, 5.5, 0.0], dtype=torch.float64)
    ranks = []
    for outlier in (1e2, 1e18):
        x[-1] = sign * outlier
        ranks.append(soft_rank(x, 5 / (x.max() - x.min()).item()))  # units of 1
    torch.testing.assert_close(ranks[1], ranks[0], rtol=0, atol=1e-12)
    # Less (1, ..., 5): (-1, -1.6, -0.5, -1.1, 0.5), of which pairs pool at -1.3 and -0.8.
    expected = torch.tensor([1.3, 1.7, 3.3, 3.7, 5.0, 6.0], dtype=torch.float64)
    if sign < 0:
        expected = torch.cat((expected[:-1] + 1, expected.new_ones(1)))
    torch.testing.assert_close(ranks[0], expected)


def test_exact_where_all_gaps_are_wide_enough(way):
    x = torch.tensor([0.0, 1.0, 2.1, 3.3, 4.0], dtype=torch.float64, requires_grad=True)
    below, above = soft_rank(x, 0.69), soft_rank(x, 0.8)  # the narrowest gap is 0.7 of the mean
    assert torch.equal(below, torch.arange(1.0, 6.0, dtype=torch.float64))
    assert (above - below).abs().max() > 0.01
    below.square().sum().backward()
    assert not x.grad.any()


@BOTH
def test_a_large_strength_gives_an_affine_map(method):
    x = rows(20)
    ranks = soft_rank(x, 1e5, method)
    slope = {'fast': 1.0, 'pairwise': 20 / 4}[method]  # sigmoid'(0) = 1 / 4, n times
    span = x.amax(1, keepdim=True) - x.amin(1, keepdim=True)
    expected = 10.5 + slope * (x - x.mean(1, keepdim=True)) * 19 / span / 1e5
    torch.testing.assert_close(ranks, expected, rtol=0, atol=1e-9)


@BOTH
@pytest.mark.parametrize('strength', [0.1, 0.3, 2.0])
@pytest.mark.parametrize('kind', ['normal', 'peaked'])
def test_gradcheck_at_a_constant_unit(way, monkeypatch, method, strength, kind):
    x = rows(9, kind, batch=(2, 3)).requires_grad_()
    freeze_unit(monkeypatch)
    assert torch.autograd.gradcheck(lambda a: soft_rank(a, strength, method), x)


@BOTH
def test_gradient_has_a_constant_unit(method):
    """Values between the extremes do not change the unit, so finite differences match."""
    x = rows(9, batch=(4,))
    weight = rows(9, batch=(4,), seed=1)
    inner = (x != x.amax(1, keepdim=True)) & (x != x.amin(1, keepdim=True))

    def value(values):
        return (soft_rank(x.masked_scatter(inner, values), 0.5, method) * weight).sum()

    assert torch.autograd.gradcheck(value, x[inner].requires_grad_())
    # With the unit detached, the gradient of each row sums to 0.
    x.requires_grad_()
    (soft_rank(x, 0.5, method) * weight).sum().backward()
    torch.testing.assert_close(x.grad.sum(1), torch.zeros(4, dtype=x.dtype))


def test_tied_values_share_rank_and_get_centered_gradients(way):
    x = torch.tensor([1.0, 0.0, 1.0, 1.0, 9.0], dtype=torch.float64, requires_grad=True)
    ranks = soft_rank(x, 0.1)
    assert ranks.tolist() == [3.0, 1.0, 3.0, 3.0, 5.0]
    weight = torch.tensor([3.0, 5.0, 0.0, 6.0, 2.0], dtype=torch.float64)
    (ranks * weight).sum().backward()
    unit = 0.1 * 9 / 4
    expected = torch.tensor([0.0, 0.0, -3.0, 3.0, 0.0], dtype=torch.float64) / unit
    torch.testing.assert_close(x.grad, expected)


@BOTH
def test_batches_and_rows_agree(way, method):
    x = rows(30, 'peaked', batch=(2, 3)).requires_grad_()
    weight = rows(30, batch=(2, 3), seed=1)
    together = soft_rank(x, 0.4, method)
    gradient = torch.autograd.grad((together * weight).sum(), x)[0]
    for i, j in itertools.product(range(2), range(3)):
        row = x[i, j].detach().clone().requires_grad_()
        alone = soft_rank(row, 0.4, method)
        torch.testing.assert_close(together[i, j], alone)
        alone = torch.autograd.grad((alone * weight[i, j]).sum(), row)[0]
        torch.testing.assert_close(gradient[i, j], alone)


@BOTH
def test_any_memory_layout(method):
    x = rows(4, batch=(7,)).T.requires_grad_()
    weight = rows(4, batch=(7,), seed=1).T
    ranks = soft_rank(x, method=method)
    dense = x.detach().clone(memory_format=torch.contiguous_format).requires_grad_()
    torch.testing.assert_close(ranks, soft_rank(dense, method=method))
    gradients = [
        torch.autograd.grad((soft_rank(a, method=method) * weight).sum(), a)[0] for a in (x, dense)
    ]
    torch.testing.assert_close(*gradients)


@BOTH
@pytest.mark.parametrize('strength', [0.1, 0.5, 2.0])
def test_invariances(method, strength):
    x = rows(40)
    ranks = soft_rank(x, strength, method)
    torch.testing.assert_close(soft_rank(3.5 * x - 7, strength, method), ranks)
    torch.testing.assert_close(soft_rank(-x, strength, method), 41 - ranks)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(soft_rank(x[:, order], strength, method), ranks[:, order])
    torch.testing.assert_close(ranks.sum(1), torch.full((8,), 820.0, dtype=x.dtype))
    in_order = ranks.gather(1, x.argsort(1)).diff()
    assert in_order.min() > -1e-9
    assert ranks.min() > 1 - 1e-9
    assert ranks.max() < 40 + 1e-9


@pytest.mark.parametrize('n', [100, 1000])
@pytest.mark.parametrize('kind', ['normal', 'peaked', 'heavy'])
def test_float32_is_as_good_as_its_digits(way, n, kind):
    x = rows(n, kind, dtype=torch.float32).requires_grad_()
    double = x.detach().double().requires_grad_()
    weight = rows(n, seed=1)
    ranks, expected = soft_rank(x), soft_rank(double)
    torch.testing.assert_close(ranks, expected.float(), rtol=1e-6, atol=1e-6)
    (ranks * weight.float()).sum().backward()
    (expected * weight).sum().backward()
    torch.testing.assert_close(x.grad, double.grad.float(), rtol=1e-5, atol=1e-5)


def test_waits_for_no_device_but_a_cpu():
    """A tensor on ``meta`` has no data and raises if the host reads a value."""
    x = torch.randn(4, 100, device='meta', requires_grad=True)
    ranks = module._Projection.apply(x, 0.5)
    ranks.sum().backward()
    assert ranks.shape == x.grad.shape == (4, 100)
    with pytest.raises(NotImplementedError, match='nonzero'):
        by_dropping(torch.zeros(2, 3, device='meta'))


@BOTH
@pytest.mark.parametrize('fill', [0.0, 0.1, -6e4])
@pytest.mark.parametrize('n', [1, 5])
def test_constant_rows_are_in_the_middle_without_gradient(way, method, fill, n):
    x = torch.full((2, n), fill)
    x = torch.cat((x, torch.randn(1, n))).requires_grad_()
    ranks = soft_rank(x, method=method)
    (ranks * torch.randn(3, n)).sum().backward()
    assert (ranks[:2] == (n + 1) / 2).all()
    assert not x.grad[:2].any()
    assert x.grad.isfinite().all()


@BOTH
def test_an_empty_batch(way, method):
    x = torch.zeros(0, 5, requires_grad=True)
    ranks = soft_rank(x, method=method)
    ranks.sum().backward()
    assert ranks.shape == x.grad.shape == (0, 5)


@BOTH
@pytest.mark.parametrize('bad', [float('nan'), float('inf'), -float('inf')])
@pytest.mark.parametrize('whole', [False, True])
def test_a_diverged_row_is_not_hidden_and_touches_no_other(way, method, bad, whole):
    x = rows(6, batch=(3,))
    expected = soft_rank(x, method=method)
    x[1, slice(None) if whole else 2] = bad
    ranks = soft_rank(x, method=method)
    assert ranks[1].isnan().all()
    torch.testing.assert_close(ranks[[0, 2]], expected[[0, 2]])


@BOTH
@pytest.mark.parametrize('scale', [1e30, 1e-30])
def test_extreme_scales(method, scale):
    x = rows(20, dtype=torch.float32)
    torch.testing.assert_close(
        soft_rank(x * scale, method=method), soft_rank(x, method=method), rtol=1e-4, atol=1e-4
    )


@BOTH
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_is_computed_in_float32(method, dtype, autocast):
    x = rows(300, dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        ranks = soft_rank(x, method=method)
    assert ranks.dtype == torch.float32
    assert torch.equal(ranks, soft_rank(x.float(), method=method))


def test_leaves_its_argument_unchanged():
    x = rows(9)
    before = x.clone()
    soft_rank(x)
    assert torch.equal(x, before)


@pytest.mark.parametrize(
    ('shape', 'options', 'message'),
    [
        ((), {}, r'x: expected a shape \(\.\.\., n\) with n >= 1, got \(\)'),
        ((3, 0), {}, r'x: expected a shape \(\.\.\., n\) with n >= 1, got \(3, 0\)'),
        ((3,), {'strength': 0.0}, 'strength: expected a finite number > 0, got 0.0'),
        ((3,), {'strength': -1.0}, 'strength: expected a finite number > 0, got -1.0'),
        ((3,), {'strength': float('nan')}, 'strength: expected a finite number > 0, got nan'),
        ((3,), {'strength': float('inf')}, 'strength: expected a finite number > 0, got inf'),
        ((3,), {'method': 'slow'}, r"method: expected one of \('fast', 'pairwise'\), got 'slow'"),
    ],
)
def test_errors(shape, options, message):
    with pytest.raises(ValueError, match='^' + message):
        soft_rank(torch.zeros(shape), **options)
