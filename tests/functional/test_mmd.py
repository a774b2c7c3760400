"""MMD against Gram matrices in NumPy, by hand, and of zeros."""

import numpy as np
import pytest
import torch

from mmkd.functional import mmd


def pair(dtype=torch.float64, batch=()):
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*batch, 6, 5, generator=generator, dtype=torch.float64) + 0.3
    y = torch.randn(*batch, 6, 4, generator=generator, dtype=torch.float64) - 0.8
    return x.to(dtype), y.to(dtype)


def numpy_mmd(x, y):
    """From the N x N Gram matrices of the rows at unit length."""
    means = []
    for rows in (x.numpy(), y.numpy()):
        unit = rows / np.sqrt((rows**2).sum(1, keepdims=True))
        means.append((unit @ unit.T).mean())
    return (means[0] - means[1]) ** 2


def test_equals_the_gram_matrices():
    x, y = pair()
    assert mmd(x, y).item() == pytest.approx(numpy_mmd(x, y), rel=1e-12)
    assert numpy_mmd(x, y) > 1e-3


def test_hand_computed():
    # Cosines 1, 0.6, 0.6, 1: mean 0.8. Opposite rows: mean 0.
    x = torch.tensor([[2.0, 0.0], [3.0, 4.0]])
    y = torch.tensor([[1.0], [-7.0]])
    assert mmd(x, y).item() == pytest.approx(0.64)


def test_batches_and_broadcasts():
    x, y = pair(batch=(2, 3))
    table = mmd(x[:, 0, None], y[None, 1])
    assert table.shape == (2, 3)
    for i in range(2):
        for j in range(3):
            assert table[i, j].item() == pytest.approx(numpy_mmd(x[i, 0], y[1, j]), rel=1e-9)


def test_gradcheck_in_both_arguments():
    x, y = pair(batch=(2,))
    assert torch.autograd.gradcheck(mmd, (x.requires_grad_(), y.requires_grad_()))


def test_ignores_lengths_rotation_and_the_order_of_rows():
    x, y = pair()
    value = mmd(x, y)
    lengths = torch.rand(6, 1, dtype=x.dtype) + 0.1
    rotation = torch.linalg.qr(torch.randn(5, 5, dtype=x.dtype)).Q
    for other in (x * lengths, x @ rotation, x.flip(0)):
        torch.testing.assert_close(mmd(other, y), value)
    torch.testing.assert_close(mmd(y, x), value)


def test_zero_without_gradient_when_equal():
    x, _ = pair(torch.float32)
    x.requires_grad_()
    value = mmd(x, x.detach())
    value.backward()
    assert value == 0
    assert not x.grad.any()


def test_never_forms_the_gram_matrix():
    ones = torch.ones(1_000_000, 1, dtype=torch.float64)  # N x N would be 8 TB
    opposite = ones.clone()
    opposite[::2] = -1
    assert mmd(opposite, ones).item() == pytest.approx(1)


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast(dtype):
    x, y = (6e4 * rows / rows.abs().max() for rows in pair(torch.float32))
    x, y = x.to(dtype), y.to(dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = mmd(x, y)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(numpy_mmd(x.double(), y.double()), rel=1e-4)


def test_rows_of_zeros_are_similar_to_nothing():
    x = torch.tensor([[1.0], [0.0]], requires_grad=True)
    value = mmd(x, torch.zeros(2, 3))
    value.backward()
    assert value.item() == pytest.approx(1 / 16)  # mean of 1, 0, 0, 0
    assert not x.grad[1].any()


def test_no_rows_give_zero_in_the_graph():
    x = torch.zeros(0, 3, requires_grad=True)
    value = mmd(x, torch.zeros(0, 2))
    value.backward()
    assert value == 0


def test_a_diverged_input_is_not_hidden():
    x, y = pair()
    x[0, 0] = float('nan')
    assert mmd(x, y).isnan()


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((3,), (3,)), r'x: expected a shape \(\.\.\., N, P\), got \(3,\)'),
        (((5, 2), (6, 2)), r'y: expected a shape \(\.\.\., 5, Q\) .* got \(6, 2\)'),
    ],
)
def test_errors(shapes, message):
    with pytest.raises(ValueError, match=message):
        mmd(*map(torch.randn, shapes))
