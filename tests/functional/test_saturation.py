"""Gradients of float16 inputs."""

import pytest
import torch

from mmkd.functional.saturation import saturating


def halves(*values):
    return torch.tensor(values, dtype=torch.float16, requires_grad=True)


def gradient(function, x, factor=1.0):
    (function(x).sum() * factor).backward()
    return x.grad


def cube(x):
    return x.float().pow(3)


def test_gradient_ends_at_the_limit_of_the_type():
    assert gradient(saturating(cube), halves(2.0, 1000.0, -1000.0)).tolist() == [12, 65504, 65504]
    assert gradient(cube, halves(1000.0)).isinf()


def test_a_loss_scaler_still_sees_that_its_scale_is_too_large():
    assert gradient(saturating(cube), halves(2.0), factor=65536.0).isinf()


def test_smaller_incoming_gradients_lower_the_limit():
    assert gradient(saturating(cube), halves(1000.0), factor=0.25).tolist() == [65504 / 4]


def test_nan_stays_nan():
    assert gradient(saturating(cube), halves(float('nan'), 1.0)).isnan().tolist() == [True, False]


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float64])
def test_other_types_stay_as_they_are(dtype):
    x = torch.ones(2, dtype=dtype, requires_grad=True)
    assert saturating(lambda given: given)(x) is x


def test_nested_arguments_and_results_of_any_shape():
    x, y = halves(1.0, 2.0), halves(3.0, 4.0)
    result = saturating(lambda pair, *, weight: weight * pair[0] * pair[1][0])((x, [y]), weight=2)
    assert result.dtype == torch.float32
    result.backward(torch.tensor([1.0, 10.0]))
    assert x.grad.tolist() == [6, 80]
    assert y.grad.tolist() == [2, 40]
