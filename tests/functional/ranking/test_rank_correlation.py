"""Correlation coefficients, exact ranks and z-scores against SciPy."""

import numpy as np
import pytest
import torch
from scipy import stats

from mmkd.functional import pearson, rank, spearman, zscore


def pair(n=12, batch=(5,), seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, n, generator=generator, dtype=torch.float64)
    y = x + torch.randn(*batch, n, generator=generator, dtype=torch.float64)
    return (2 * x + 3).to(dtype), (y.exp() - 1).to(dtype)


def scipy_rows(function, x, y):
    return [function(a, b).statistic for a, b in zip(x.numpy(), y.numpy(), strict=True)]


def test_pearson_equals_scipy():
    x, y = pair()
    np.testing.assert_allclose(pearson(x, y), scipy_rows(stats.pearsonr, x, y), rtol=1e-12)


def test_pearson_along_any_dimension():
    x, y = pair(batch=(2, 3))
    for dim in (0, 1, 2, -2):
        expected = stats.pearsonr(x.numpy(), y.numpy(), axis=dim).statistic
        np.testing.assert_allclose(pearson(x, y, dim), expected, rtol=1e-12, atol=1e-14)


def test_pearson_broadcasts():
    x, y = pair()
    table = pearson(x[:, None], y[None])
    assert table.shape == (5, 5)
    np.testing.assert_allclose(table, np.corrcoef(x, y)[:5, 5:], rtol=1e-12)


def test_pearson_by_hand():
    x, y = torch.tensor([1.0, 2.0, 6.0]), torch.tensor([2.0, 1.0, 3.0])
    # deviations (-2, -1, 3) and (0, -1, 1): 4 / sqrt(14 * 2)
    assert pearson(x, y).item() == pytest.approx(4 / 28**0.5)


def test_pearson_is_invariant_and_changes_sign():
    x, y = pair()
    value = pearson(x, y)
    torch.testing.assert_close(pearson(5 * x - 3, 0.1 * y + 8), value)
    torch.testing.assert_close(pearson(-x, y), -value)
    torch.testing.assert_close(pearson(y, x), value)


def test_pearson_gradcheck():
    x, y = (a.requires_grad_() for a in pair(6, (3,)))
    assert torch.autograd.gradcheck(pearson, (x, y))


def test_pearson_is_one_without_gradient_for_equal_arguments_and_never_more():
    x, _ = pair(1000, (50,), dtype=torch.float32)
    x.requires_grad_()
    values = pearson(x, x.detach().clone())
    values.sum().backward()
    assert (values == 1).all()
    assert not x.grad.any()
    for scale in (1 + 1e-6, 3.3, -1.7):
        values = pearson(x, (scale * x).detach())
        assert values.abs().max() <= 1
        torch.testing.assert_close(values.abs(), torch.ones(50))


@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
@pytest.mark.parametrize('n', [1, 7])
@pytest.mark.parametrize('degenerate', [0.0, 1.0])
def test_constant_rows_give_the_degenerate_value_without_gradient(fill, n, degenerate):
    x = torch.cat((torch.full((1, n), fill), torch.randn(1, n))).requires_grad_()
    y = torch.randn(2, n, requires_grad=True)
    for arguments in ((x, y), (y, x)):
        values = pearson(*arguments, degenerate=degenerate)
        gradients = torch.autograd.grad(values.sum(), arguments)
        assert values[0] == degenerate
        assert not any(gradient[0].any() for gradient in gradients)
        assert all(gradient.isfinite().all() for gradient in gradients)


@pytest.mark.parametrize('function', [pearson, spearman])
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('other', [0.0, 1.0])
def test_a_diverged_input_is_not_hidden(function, bad, other):
    x, y = torch.randn(7), torch.full((7,), 0.1) + other * torch.randn(7)
    x[3] = bad
    assert function(x, y, degenerate=1.0).isnan()
    assert pearson(y, x, degenerate=1.0).isnan()
    assert function(torch.full((7,), bad), y).isnan()


@pytest.mark.parametrize('scale', [1e30, 1e-30])
def test_extreme_scales_and_offsets(scale):
    x, y = pair(dtype=torch.float32)
    torch.testing.assert_close(pearson(x * scale, y / scale), pearson(x, y))
    offset = x + 4096
    torch.testing.assert_close(pearson(offset, y), pearson(x, y), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize('function', [pearson, spearman])
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_is_computed_in_float32(function, dtype, autocast):
    x, y = pair(dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = function(x, y)
    assert value.dtype == torch.float32
    assert torch.equal(value, function(x.float(), y.float()))


def test_pearson_size_error():
    message = r"y: expected x's size 7 along dimension -1, got 6"
    with pytest.raises(ValueError, match=message):
        pearson(torch.zeros(2, 7), torch.zeros(2, 6))


@pytest.mark.parametrize('n', [1, 2, 9, 300])
def test_rank_equals_scipy(n):
    generator = np.random.default_rng(0)
    for x in (
        generator.normal(size=(3, 4, n)),
        generator.integers(0, 4, size=(3, 4, n)) / 10,
        np.zeros((2, n)),
        generator.choice([-np.inf, 0.0, -0.0, np.inf], size=(5, n)),
    ):
        np.testing.assert_array_equal(rank(torch.tensor(x)), stats.rankdata(x, axis=-1))


def test_rank_of_nan_is_nan_in_its_row_only():
    x = torch.tensor([[1.0, float('nan'), 0.0], [5.0, 4.0, 4.0]])
    ranks = rank(x)
    assert ranks[0].isnan().all()
    assert ranks[1].tolist() == [3.0, 1.5, 1.5]


def test_rank_has_no_gradient():
    assert not rank(torch.randn(3, requires_grad=True)).requires_grad


@pytest.mark.parametrize('method', ['fast', 'pairwise'])
def test_spearman_of_exact_ranks_equals_scipy(method):
    x, y = pair()
    y[:, :4] = y[:, 4:8]  # ties
    expected = scipy_rows(stats.spearmanr, x, y)
    np.testing.assert_allclose(spearman(x, y, 1e-4, method), expected, rtol=1e-9)


@pytest.mark.parametrize('method', ['fast', 'pairwise'])
@pytest.mark.parametrize(('classes', 'peak'), [(10, 6), (100, 12), (1000, 30)])
def test_differs_from_pearson_at_the_defaults_where_the_exact_ones_do(method, classes, peak):
    """A shared top class of peaked logits makes Pearson's high, whatever the other classes do."""
    rows = 64 if classes < 1000 else 16  # 'pairwise' compares a million pairs a row
    x = torch.randn(rows, classes, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    y = torch.randn(rows, classes, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    x[:, 0] += peak
    y[:, 0] += peak
    linear = np.mean(scipy_rows(stats.pearsonr, x, y))
    exact = np.array(scipy_rows(stats.spearmanr, x, y))
    soft = spearman(x, y, method=method).numpy()
    assert linear > exact.mean() + 0.4
    assert soft.mean() < linear - 0.4
    assert abs(soft.mean() - exact.mean()) < 0.07
    # Row by row, too, it follows the rank correlation.
    assert np.corrcoef(soft, exact)[0, 1] > 0.9


def test_a_large_strength_gives_the_correlation_with_the_values():
    x, y = pair()
    expected = pearson(x, rank(y))
    torch.testing.assert_close(spearman(x, y, 1e6), expected)
    assert (spearman(x, y) - expected).abs().max() > 0.01


@pytest.mark.parametrize('method', ['fast', 'pairwise'])
def test_distance_from_one_of_equal_arguments_is_as_documented(method):
    x = torch.randn(500, 100, generator=torch.Generator().manual_seed(0))
    plain = 1 - spearman(x, x, method=method)
    x[:, 0] = 12
    peaked = 1 - spearman(x, x, method=method)
    documented = {'fast': (0.002, 0.04), 'pairwise': (0.0002, 0.0005)}[method]
    assert plain.mean().item() == pytest.approx(documented[0], rel=0.3)
    assert peaked.mean().item() == pytest.approx(documented[1], rel=0.3)
    assert min(plain.min(), peaked.min()) >= 0
    assert (1 - spearman(x, x, 1e-6, method)).abs().max() < 1e-4


def test_spearman_is_one_where_ranks_are_exact():
    x = torch.tensor([[0.0, 3.0, 1.0, 4.2, 2.1]], requires_grad=True)
    value = spearman(x, x.detach() ** 3)
    value.sum().backward()
    assert value == 1
    assert not x.grad.any()


def test_spearman_gradient_reaches_x_only():
    x, y = (a.requires_grad_() for a in pair())
    spearman(x, y).sum().backward()
    assert x.grad.any()
    assert y.grad is None


def test_zscore_equals_scipy():
    x, _ = pair(batch=(2, 3))
    np.testing.assert_allclose(zscore(x), stats.zscore(x, axis=-1, ddof=1), rtol=1e-12)


def test_zscore_gradcheck():
    assert torch.autograd.gradcheck(zscore, pair(6, (3,))[0].requires_grad_())


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
@pytest.mark.parametrize('n', [1, 7])
def test_zscore_constants_are_zero_without_gradient(dtype, fill, n):
    x = torch.full((3, n), fill, dtype=dtype, requires_grad=True)
    score = zscore(x)
    (score * torch.randn(3, n)).sum().backward()
    assert not score.any()
    assert not x.grad.any()
