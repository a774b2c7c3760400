"""CKA of Gram matrices with divided rows: a loop, by hand, properties, gradients, edge cases."""

import numpy as np
import pytest
import torch

from mmkd.functional import cka

GRAM_SIDE, FEATURE_SIDE = (5, 8, 6), (9, 2, 3)  # N, P, Q
SIDES = pytest.mark.parametrize('shape', [GRAM_SIDE, FEATURE_SIDE], ids=['gram', 'feature'])
CENTER = pytest.mark.parametrize('center', [True, False], ids=['centered', 'raw'])


def pair(shape, dtype=torch.float64, batch=()):
    n, p, q = shape
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(*batch, n, p, generator=generator, dtype=torch.float64)
    y = torch.randn(*batch, n, q, generator=generator, dtype=torch.float64)
    return (x + 0.3).to(dtype), (y + x[..., :1] - 0.2).to(dtype)


def loop(x, y, center):
    """Entry by entry, with NumPy: the Gram matrix, its rows divided, then the cosine."""
    matrices = []
    for rows in (x.numpy(), y.numpy()):
        rows = rows - center * rows.mean(0)
        gram = np.array([[a @ b for b in rows] for a in rows])
        matrices.append(np.array([row / np.sqrt(gram[i, i]) for i, row in enumerate(gram)]))
    k, l = matrices  # noqa: E741
    return np.trace(k @ l.T) / np.sqrt(np.trace(k @ k.T) * np.trace(l @ l.T))


@SIDES
@CENTER
def test_equals_the_definition(shape, center):
    x, y = pair(shape)
    value = cka(x, y, center=center, normalize=True)
    assert value.item() == pytest.approx(loop(x, y, center), rel=1e-12)
    assert abs(value - cka(x, y, center=center)) > 1e-3


def test_by_hand():
    # Gram matrices [[4, 0], [0, 1]] and [[4, 2], [2, 1]]. Rows divided: [[2, 0], [0, 1]] and
    # [[2, 1], [2, 1]]. The inner product is 5, the squared norms are 5 and 10.
    x, y = torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.tensor([[2.0], [1.0]])
    value = cka(x, y, center=False, normalize=True)
    assert value.item() == pytest.approx(5 / 50**0.5)


@CENTER
def test_both_sides_agree_for_the_same_rows(center):
    """Zero columns change which side is computed, but not the value."""
    x, y = pair(FEATURE_SIDE)
    wide = torch.nn.functional.pad(x, (0, 30))
    options = dict(center=center, normalize=True)
    torch.testing.assert_close(cka(wide, y, **options), cka(x, y, **options))


@SIDES
def test_scale_and_rotation_change_nothing_and_an_argument_is_like_itself(shape):
    x, y = pair(shape)
    value = cka(x, y, normalize=True)
    rotation = torch.linalg.qr(torch.eye(x.shape[1], dtype=x.dtype) + 0.1).Q
    torch.testing.assert_close(cka(-7 * x @ rotation, y, normalize=True), value)
    torch.testing.assert_close(cka(y, x, normalize=True), value)
    assert cka(x, x, normalize=True).item() == pytest.approx(1, abs=1e-12)
    assert cka(x.float(), x.float() * (1 + 1e-7), normalize=True) <= 1


def test_rows_of_equal_length_are_plain_cka():
    x, y = (torch.nn.functional.normalize(z, dim=1) for z in pair(GRAM_SIDE))
    plain = cka(x, y, center=False)
    torch.testing.assert_close(cka(x, 5 * y, center=False, normalize=True), plain)


@SIDES
@CENTER
def test_gradcheck_in_both_arguments(shape, center):
    arguments = [x.requires_grad_() for x in pair(shape, batch=(2,))]
    assert torch.autograd.gradcheck(
        lambda x, y: cka(x, y, center=center, normalize=True), arguments
    )


@SIDES
def test_a_row_of_zeros_has_similarity_0_and_no_gradient_of_it(shape):
    x, y = pair(shape)
    x[1] = 0
    x.requires_grad_()
    value = cka(x, y, center=False, normalize=True)
    value.backward()
    scale = y.norm(dim=1, keepdim=True)
    k = torch.nn.functional.normalize(x.detach()) @ x.detach().mT
    expected = (k * (y @ y.mT / scale)).sum() / k.norm() / (y @ y.mT / scale).norm()
    torch.testing.assert_close(value.detach(), expected)
    assert x.grad.isfinite().all()


@SIDES
@pytest.mark.parametrize('rows', ['zeros', 'constant', 'none'])
def test_what_has_no_structure_gives_the_degenerate_value(shape, rows):
    x, y = pair(shape, torch.float32)
    x = {'zeros': 0 * x, 'constant': torch.full_like(x, 0.1), 'none': x[:0]}[rows].requires_grad_()
    value = cka(x, y[: len(x)], normalize=True, degenerate=-2.0)
    value.backward()
    assert value == -2
    assert not x.grad.any()


@SIDES
def test_nan_is_not_hidden(shape):
    x, y = pair(shape, torch.float32)
    x[0, 0] = float('nan')
    assert cka(x, y, normalize=True).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_change_nothing(dtype):
    x, y = pair(GRAM_SIDE, dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = cka(x, y, normalize=True)
    assert value.dtype == torch.float32
    assert torch.equal(value, cka(x.float(), y.float(), normalize=True))


def test_does_not_go_with_the_unbiased_estimator():
    message = 'normalize: expected False with unbiased=True, got True'
    with pytest.raises(ValueError, match=message):
        cka(*pair(GRAM_SIDE), unbiased=True, normalize=True)
