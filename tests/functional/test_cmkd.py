"""CMKD against SciPy, the leading correlation, gradients and edge cases."""

import importlib

import numpy as np
import pytest
import torch
from scipy import special, stats

from mmkd.functional import cmkd, pearson, spearman, zscore
from mmkd.functional.cmkd import entropy

# In the package, the function shadows this module.
soft_rank_module = importlib.import_module('mmkd.functional.ranking.soft_rank')
EXACT = {'rank_strength': 1e-6}
LINEAR = {
    'primary_weight': 1.0,
    'secondary_weight': 0.0,
    'mean_entropy': torch.tensor(-1.0),
}  # each sample is unsure
RANKING = {
    'primary_weight': 1.0,
    'secondary_weight': 0.0,
    'mean_entropy': torch.tensor(99.0),
}  # each one is sure


def logits(rows=8, classes=10, dtype=torch.float64, seed=0):
    generator = torch.Generator().manual_seed(seed)
    teacher = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    student = teacher + torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    sharpness = torch.linspace(0.5, 4, rows, dtype=torch.float64)[:, None]
    return (2 * student - 1).to(dtype), (sharpness * teacher + 3).to(dtype)


def by_scipy(student, teacher, tau=4.0, primary_weight=4.0, secondary_weight=1.0):
    entropies = stats.entropy(special.softmax(teacher, axis=1), axis=1)
    losses = []
    for s, t, h in zip(student, teacher, entropies, strict=True):
        p, q = (special.softmax(stats.zscore(z, ddof=1) / tau) for z in (s, t))
        linear, ranking = 1 - stats.pearsonr(p, q)[0], 1 - stats.spearmanr(s, t)[0]
        first, second = (
            (primary_weight, secondary_weight)
            if h >= entropies.mean()
            else (secondary_weight, primary_weight)
        )
        losses.append(first * linear + second * ranking)
    return np.mean(losses)


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
@pytest.mark.parametrize(
    'weights', [{}, {'tau': 1.0}, {'primary_weight': 2.0, 'secondary_weight': 3.0}]
)
def test_equals_scipy(rank_method, weights):
    student, teacher = logits()
    value = cmkd(student, teacher, rank_method=rank_method, **weights, **EXACT).item()
    expected = by_scipy(student.numpy(), teacher.numpy(), **weights)
    assert value == pytest.approx(expected, rel=1e-9)


def test_hand_computed():
    teacher = torch.tensor([[0.0, 1.0, 2.0], [0.0, 10.0, 20.0]], dtype=torch.float64)
    swapped = teacher[:, [0, 2, 1]]
    # z-scores (-1, 0, 1) in both: L_R is 1 - 0.5, and |p - q|^2 / 2 = (b - c)^2 for L_P.
    p = np.exp([-0.25, 0.0, 0.25]) / np.exp([-0.25, 0.0, 0.25]).sum()
    linear, ranking = (p[1] - p[2]) ** 2 / (3 * p.var()), 0.5
    unsure_wrong = torch.stack((swapped[0], teacher[1]))
    sure_wrong = torch.stack((teacher[0], swapped[1]))
    assert cmkd(unsure_wrong, teacher).item() == pytest.approx((4 * linear + ranking) / 2)
    assert cmkd(sure_wrong, teacher).item() == pytest.approx((linear + 4 * ranking) / 2)


def test_reductions():
    student, teacher = logits()
    values = cmkd(student, teacher, reduction='none')
    mean = entropy(teacher).mean()
    each = [
        cmkd(s[None], t[None], mean_entropy=mean) for s, t in zip(student, teacher, strict=True)
    ]
    torch.testing.assert_close(values, torch.stack(each))
    torch.testing.assert_close(cmkd(student, teacher, reduction='sum'), values.sum())
    torch.testing.assert_close(cmkd(student, teacher), values.mean())
    with pytest.raises(ValueError, match=r"reduction: expected one of .* got 'max'"):
        cmkd(student, teacher, reduction='max')


def test_terms():
    student, teacher = logits()
    p, q = ((zscore(x) / 4).softmax(1) for x in (student, teacher))
    torch.testing.assert_close(cmkd(student, teacher, **LINEAR), (1 - pearson(p, q)).mean())
    for options in ({}, {'rank_method': 'pairwise'}, {'rank_strength': 2.0}):
        value = cmkd(student, teacher, **RANKING, **options)
        method = options.get('rank_method', 'fast')
        strength = options.get('rank_strength', 0.5)
        ranking = 1 - spearman(student, teacher, strength, method)
        torch.testing.assert_close(value, ranking.mean())


def test_mean_entropy_may_be_of_more_samples():
    student, teacher = logits()
    whole = cmkd(student, teacher)
    mean = entropy(teacher).mean()
    parts = [cmkd(student[i::2], teacher[i::2], mean_entropy=mean) for i in range(2)]
    torch.testing.assert_close(sum(parts) / 2, whole)
    alone = [cmkd(student[:4], teacher[:4]), cmkd(student[4:], teacher[4:])]
    assert abs(sum(alone) / 2 - whole) > 0.01


def test_entropy_equals_scipy():
    _, teacher = logits()
    expected = stats.entropy(special.softmax(teacher, axis=1), axis=1)
    np.testing.assert_allclose(entropy(teacher), expected, rtol=1e-6)
    assert entropy(torch.tensor([[0.0, -1e4, -2e4]])) == 0
    assert not entropy(teacher.requires_grad_()).requires_grad


@pytest.mark.parametrize('rows', [3, 7, 10, 49])
def test_equal_entropies_are_all_unsure(rows):
    """The mean must not round above the entropies."""
    student, teacher = logits(rows, dtype=torch.float32)
    teacher = teacher[:1].expand(rows, -1)
    options = {'primary_weight': 1.0, 'secondary_weight': 0.0}
    assert cmkd(student, teacher, **options) == cmkd(student, teacher, **LINEAR)


def test_is_invariant_under_scale_and_shift_of_the_student():
    student, teacher = logits()
    value = cmkd(student, teacher)
    torch.testing.assert_close(cmkd(7 * student - 2, teacher), value)
    torch.testing.assert_close(cmkd(student, teacher + 5), value)
    order = torch.randperm(10, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cmkd(student[:, order], teacher[:, order]), value)


def test_is_invariant_under_the_order_of_samples():
    student, teacher = logits()
    value = cmkd(student, teacher)
    order = torch.randperm(8, generator=torch.Generator().manual_seed(0))
    torch.testing.assert_close(cmkd(student[order], teacher[order]), value)
    assert abs(cmkd(student[order], teacher) - value) > 0.1


def freeze_unit(monkeypatch):
    """Keep the detached unit of soft ranks at its first value."""
    original, kept = soft_rank_module._per_unit, []

    def frozen(*arguments):
        kept[:] = kept or [original(*arguments)]
        return kept[0]

    monkeypatch.setattr(soft_rank_module, '_per_unit', frozen)


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
@pytest.mark.parametrize('terms', [{}, LINEAR, RANKING])
def test_gradcheck(monkeypatch, rank_method, terms):
    student, teacher = logits(4, 7)
    freeze_unit(monkeypatch)
    options = {'rank_method': rank_method, 'rank_strength': 0.7, **terms}
    assert torch.autograd.gradcheck(lambda s: cmkd(s, teacher, **options), student.requires_grad_())


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
def test_gradient_neither_scales_nor_shifts_the_student(rank_method):
    """Scaling or shifting the logits does not change the loss, so the gradient does neither."""
    student, teacher = logits()
    cmkd(student.requires_grad_(), teacher, rank_method=rank_method).backward()
    zero = torch.zeros(8, dtype=student.dtype)
    torch.testing.assert_close((student * student.grad).sum(1), zero)
    torch.testing.assert_close(student.grad.sum(1), zero)


@pytest.mark.parametrize(('rank_method', 'left'), [('fast', 0.4), ('pairwise', 0.1)])
def test_steps_on_soft_ranks_raise_the_exact_correlation(rank_method, left):
    student, teacher = logits(8, 20)
    before = 1 - spearman(student, teacher, 1e-6).mean()
    optimizer = torch.optim.Adam([student.requires_grad_()], lr=0.15)
    for _ in range(40):
        optimizer.zero_grad()
        cmkd(student, teacher, rank_method=rank_method, **RANKING).backward()
        optimizer.step()
    after = 1 - spearman(student.detach(), teacher, 1e-6).mean()
    assert after < left * before


def test_linear_term_is_zero_without_gradient_when_equal():
    student, _ = logits(dtype=torch.float32)
    student.requires_grad_()
    value = cmkd(student, student.detach().clone(), **LINEAR)
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
def test_is_zero_without_gradient_when_equal_where_ranks_are_exact(rank_method):
    student, _ = logits()
    student.requires_grad_()
    value = cmkd(student, student.detach().clone(), rank_method=rank_method, rank_strength=1e-4)
    value.backward()
    assert 0 <= value < 1e-12
    assert student.grad.abs().max() < 1e-9


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
@pytest.mark.parametrize('peak', [0.0, 12.0])
def test_is_near_zero_when_equal_at_the_default(rank_method, peak):
    """Soft ranks of the student, exact ones of the teacher."""
    student = torch.randn(64, 100, generator=torch.Generator().manual_seed(0))
    student[:, 0] += peak
    unlike = student.flip(0)
    value = cmkd(student, student, rank_method=rank_method)
    assert 0 <= value < 0.15
    assert value < 0.06 * cmkd(unlike, student, rank_method=rank_method)


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
def test_never_negative(rank_method):
    for seed in range(20):
        student, _ = logits(dtype=torch.float32, seed=seed)
        for strength in (1e-6, 0.3, 10.0):
            assert cmkd(student, 2 * student, rank_method=rank_method, rank_strength=strength) >= 0


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_constant_logits_add_nothing(rank_method, fill, dtype):
    student, teacher = logits(6, dtype=dtype)
    student[0], teacher[1] = fill, fill
    student.requires_grad_()
    value = cmkd(student, teacher, rank_method=rank_method)
    value.backward()
    mean = entropy(teacher).mean()
    rest = cmkd(student[2:], teacher[2:], rank_method=rank_method, mean_entropy=mean)
    torch.testing.assert_close(value, rest * 4 / 6)
    assert not student.grad[:2].any()
    assert student.grad[2:].any(1).all()


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
def test_one_class_and_one_sample(rank_method):
    student = torch.randn(5, 1, requires_grad=True)
    value = cmkd(student, torch.randn(5, 1), rank_method=rank_method)
    value.backward()
    assert value == 0
    assert not student.grad.any()
    student, teacher = logits(1)
    assert cmkd(student, teacher, rank_method=rank_method, **EXACT).item() == pytest.approx(
        by_scipy(student.numpy(), teacher.numpy())
    )


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
@pytest.mark.parametrize('other', ['varied', 'constant'])
def test_a_diverged_input_is_not_hidden(which, bad, other):
    arguments = list(logits(dtype=torch.float32))
    arguments[which][3, 2] = bad
    if other == 'constant':
        arguments[1 - which][:] = 0.1
    assert cmkd(*arguments).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    student, teacher = logits(dtype=dtype)
    full = student.float().requires_grad_()
    student.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = cmkd(student, teacher)
    value.backward()
    expected = cmkd(full, teacher.float())
    expected.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    torch.testing.assert_close(student.grad, full.grad.to(dtype))


@pytest.mark.parametrize(
    ('shapes', 'options', 'message'),
    [
        (((5,), (5,)), {}, r'student: expected a shape \(B, C\), got \(5,\)'),
        (((5, 3), (5, 4)), {}, r"teacher: expected the student's shape \(5, 3\), got \(5, 4\)"),
        (((5, 3), (5, 3)), {'tau': 0.0}, 'tau: expected a finite number > 0, got 0.0'),
        (((5, 3), (5, 3)), {'rank_method': 'exact'}, 'method: expected one of'),
        (((5, 3), (5, 3)), {'rank_strength': 0.0}, 'strength: expected a finite number > 0'),
    ],
)
def test_errors(shapes, options, message):
    with pytest.raises(ValueError, match='^' + message):
        cmkd(torch.zeros(shapes[0]), torch.zeros(shapes[1]), **options)
