"""Rows have unit length at any scale, and rows of zeros have no gradient."""

import pytest
import torch
from sklearn.preprocessing import normalize

from mmkd.functional.numerics import has_direction, l2_normalize


def test_equals_scikit_learn():
    x = torch.randn(5, 7, dtype=torch.float64)
    torch.testing.assert_close(l2_normalize(x), torch.from_numpy(normalize(x.numpy())))


def test_leading_dimensions():
    x = torch.randn(2, 3, 7)
    torch.testing.assert_close(l2_normalize(x)[1, 2], x[1, 2] / x[1, 2].norm())


def test_gradcheck():
    x = torch.randn(3, 4, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(l2_normalize, (x,))


@pytest.mark.parametrize('scale', [1e30, 1e-30])
def test_extreme_scales(scale):
    x = torch.randn(3, 4)
    torch.testing.assert_close(l2_normalize(x * scale), l2_normalize(x))


def test_a_row_too_short_for_a_finite_gradient_counts_as_zeros():
    x = torch.full((1, 4), 1e-35, requires_grad=True)
    unit = l2_normalize(x)
    (3e3 * unit).sum().backward()
    assert not unit.any()
    assert not x.grad.any()


def test_a_row_of_zeros_has_no_gradient_and_leaves_the_others_alone():
    x = torch.randn(3, 4)
    x[1] = 0
    x.requires_grad_()
    unit = l2_normalize(x)
    unit.sum().backward()
    assert has_direction(unit).tolist() == [True, False, True]
    assert not unit[1].any()
    assert not x.grad[1].any()
    assert x.grad[[0, 2]].all()


@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_diverged_row_has_a_direction_of_nan(bad):
    x = torch.randn(2, 4)
    x[1, 2] = bad
    unit = l2_normalize(x)
    assert unit.isnan().any(1).tolist() == [False, True]
    assert has_direction(unit).all()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast(dtype):
    x = (torch.randn(3, 4) * 100).to(dtype)
    assert torch.equal(l2_normalize(x), l2_normalize(x.float()))
