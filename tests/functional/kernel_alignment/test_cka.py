"""CKA against independent definitions, its invariances, gradients and edge cases."""

import subprocess
import sys

import pytest
import torch

from mmkd.functional import cka
from mmkd.functional.kernel_alignment.cka import gram

GRAM_SIDE = (7, 12, 9)  # N, P, Q: N x N is the smaller side
FEATURE_SIDE = (20, 3, 5)
SIDES = pytest.mark.parametrize('shape', [GRAM_SIDE, FEATURE_SIDE], ids=['gram', 'feature'])


def pair(shape, dtype=torch.float64, batch=(), seed=0):
    n, p, q = shape
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(*batch, n, p, generator=generator, dtype=dtype)
    y = torch.randn(*batch, n, q, generator=generator, dtype=dtype)
    return x + 0.3, y + x[..., :1] - 0.2


def loop_cka(x, y, center):
    """Definition with N x N Gram matrices and an explicit centering matrix, entry by entry."""
    n = len(x)
    h = torch.eye(n, dtype=x.dtype) - (1 / n if center else 0)
    k, l = h @ x @ x.T @ h, h @ y @ y.T @ h  # noqa: E741
    dot = kk = ll = 0.0
    for i in range(n):
        for j in range(n):
            dot += k[i, j] * l[i, j]
            kk += k[i, j] ** 2
            ll += l[i, j] ** 2
    return dot / (kk * ll) ** 0.5


def hsic1(k, l):  # noqa: E741
    """Song et al. 2012, eq. 5, term by term."""
    n = len(k)
    k, l = k - k.diag().diag(), l - l.diag().diag()  # noqa: E741
    one = torch.ones(n, dtype=k.dtype)
    product = (one @ k @ one) * (one @ l @ one) / ((n - 1) * (n - 2))
    return ((k @ l).trace() + product - 2 / (n - 2) * (one @ k @ l @ one)) / (n * (n - 3))


def direct_unbiased(x, y):
    k, l = x @ x.T, y @ y.T  # noqa: E741  (not centered: the estimator does that)
    return hsic1(k, l) / (hsic1(k, k) * hsic1(l, l)) ** 0.5


@SIDES
@pytest.mark.parametrize('center', [True, False])
def test_equals_the_definition(shape, center):
    x, y = pair(shape)
    torch.testing.assert_close(cka(x, y, center=center), loop_cka(x, y, center))


@SIDES
def test_unbiased_equals_song_2012(shape):
    x, y = pair(shape)
    torch.testing.assert_close(cka(x, y, unbiased=True), direct_unbiased(x, y))


def test_hand_computed():
    x = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]], dtype=torch.float64)
    y = x[:, :1]
    # uncentered: |Y^T X|^2 = 1, |X^T X| = sqrt(2), |Y^T Y| = 1
    assert cka(x, y, center=False).item() == pytest.approx(2**-0.5)
    # centered: |Y^T X|^2 = 4/9 + 1/9, |X^T X| = sqrt(10)/3, |Y^T Y| = 2/3
    assert cka(x, y).item() == pytest.approx((5 / 9) / (10**0.5 / 3 * 2 / 3))


@pytest.mark.parametrize('unbiased', [False, True])
def test_both_sides_agree_for_the_same_rows(unbiased):
    """Zero columns change which side is computed, but not the value."""
    x, y = pair(FEATURE_SIDE)
    wide = torch.nn.functional.pad(x, (0, 30))
    torch.testing.assert_close(cka(wide, y, unbiased=unbiased), cka(x, y, unbiased=unbiased))


@pytest.mark.parametrize(
    ('n', 'p', 'largest'), [(4, 500, 4 * 4), (500, 4, 4 * 4)], ids=['gram', 'feature']
)
def test_never_forms_the_larger_side(monkeypatch, n, p, largest):
    formed = []
    matmul = torch.Tensor.__matmul__

    def spy(a, b):
        formed.append(matmul(a, b))
        return formed[-1]

    monkeypatch.setattr(torch.Tensor, '__matmul__', spy)
    cka(*pair((n, p, p)))
    assert formed
    assert max(product.numel() for product in formed) == largest


@SIDES
@pytest.mark.parametrize('unbiased', [False, True])
def test_invariant_under_rotation_scale_shift_and_row_order(shape, unbiased):
    x, y = pair(shape)
    value = cka(x, y, unbiased=unbiased)
    rotation = torch.linalg.qr(torch.randn(x.shape[1], x.shape[1], dtype=x.dtype)).Q
    order = torch.randperm(len(x))
    for other in (x @ rotation, -7.5 * x, x + torch.randn(x.shape[1], dtype=x.dtype)):
        torch.testing.assert_close(cka(other, y, unbiased=unbiased), value)
    torch.testing.assert_close(cka(x[order], y[order], unbiased=unbiased), value)
    assert abs(cka(x[order], y, unbiased=unbiased) - value) > 1e-3


@SIDES
def test_uncenterd_is_not_shift_invariant(shape):
    x, y = pair(shape)
    assert abs(cka(x + 5, y, center=False) - cka(x, y, center=False)) > 1e-2


@SIDES
@pytest.mark.parametrize('unbiased', [False, True])
def test_symmetric_and_one_with_itself(shape, unbiased):
    x, y = pair(shape)
    forth, back = cka(x, y, unbiased=unbiased), cka(y, x, unbiased=unbiased)
    torch.testing.assert_close(forth, back)
    assert cka(x, x, unbiased=unbiased).item() == pytest.approx(1, abs=1e-12)


@SIDES
def test_never_above_one(shape):
    for seed in range(50):
        x, _ = pair(shape, torch.float32, seed=seed)
        assert cka(x, x * (1 + 1e-7 * seed)) <= 1


def test_unbiased_is_near_zero_for_unrelated_gaussians_where_biased_is_not():
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(400, 10, 60, generator=generator)
    y = torch.randn(400, 10, 60, generator=generator)
    unbiased = cka(x, y, unbiased=True)
    standard_error = unbiased.std() / 400**0.5
    assert standard_error < 0.01
    assert unbiased.mean().abs() < 4 * standard_error
    assert cka(x, y).mean() > 0.8


@SIDES
def test_batches_and_broadcasts(shape):
    x, y = pair(shape, batch=(2, 3))
    values = cka(x, y)
    assert values.shape == (2, 3)
    torch.testing.assert_close(values[1, 2], cka(x[1, 2], y[1, 2]))
    table = cka(x[:, 0, None], y[None, 1])
    assert table.shape == (2, 3)
    torch.testing.assert_close(table[1, 2], cka(x[1, 0], y[1, 2]))


@pytest.mark.parametrize('shape', [(5, 6, 7), (6, 2, 3)], ids=['gram', 'feature'])
@pytest.mark.parametrize(
    'options',
    [{}, {'center': False}, {'unbiased': True}],
    ids=['default', 'uncentered', 'unbiased'],
)
def test_gradcheck(shape, options):
    x, y = pair(shape, batch=(2,))
    arguments = (x.requires_grad_(), y.requires_grad_())
    assert torch.autograd.gradcheck(lambda a, b: cka(a, b, **options), arguments)


def plain_gram(x, center):
    x = x - x.mean(-2, keepdim=True) if center else x
    return x @ x.mT


@pytest.mark.parametrize('center', [True, False])
@pytest.mark.parametrize(
    ('dtype', 'tolerance'), [(torch.float32, 1e-5), (torch.float64, 1e-12)], ids=['fp32', 'fp64']
)
def test_closed_form_backward_equals_autograd(center, dtype, tolerance):
    x = torch.randn(3, 9, 30, dtype=dtype, requires_grad=True)
    weight = torch.randn(3, 9, 9, dtype=dtype)  # not symmetric
    ours = torch.autograd.grad((gram(x, center).matrix * weight).sum(), x)[0]
    plain = torch.autograd.grad((plain_gram(x, center) * weight).sum(), x)[0]
    torch.testing.assert_close(ours, plain, rtol=tolerance, atol=tolerance * 10)


def test_overwrite_keeps_value_and_gradient():
    x = torch.randn(9, 30, dtype=torch.float64, requires_grad=True)
    weight = torch.randn(9, 9, dtype=torch.float64)
    keeping = (gram(x).matrix * weight).sum()
    overwriting = (gram(x.clone(), overwrite=True).matrix * weight).sum()
    torch.testing.assert_close(overwriting, keeping)
    torch.testing.assert_close(*(torch.autograd.grad(v, x)[0] for v in (overwriting, keeping)))


@SIDES
def test_leaves_its_arguments_unchanged(shape):
    x, y = pair(shape)
    before = x.clone(), y.clone()
    cka(x, y)
    assert torch.equal(x, before[0])
    assert torch.equal(y, before[1])


@SIDES
@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_is_upcast(shape, dtype):
    x, y = (t.to(dtype) for t in pair(shape, torch.float32))
    value = cka(x, y)
    assert value.dtype == torch.float32
    assert torch.equal(value, cka(x.float(), y.float()))


@SIDES
@pytest.mark.parametrize('scale', [6e4, 1e-4])
def test_extreme_half_precision_scales(shape, scale):
    x, _ = pair(shape, torch.float32)
    x = (x / x.abs().max() * scale).half()
    y = x.float() / scale
    x.requires_grad_()
    value = cka(x, y)
    value.backward()
    assert value.item() == pytest.approx(1, abs=1e-5)
    assert x.grad.isfinite().all()


@SIDES
@pytest.mark.parametrize('scale', [1e15, 1e-15])
def test_extreme_float32_scales(shape, scale):
    x, y = pair(shape, torch.float32)
    torch.testing.assert_close(cka(x * scale, y / scale), cka(x, y))


@SIDES
def test_autocast_changes_nothing(shape):
    x, y = pair(shape, torch.float32)
    plain, cast = x.clone().requires_grad_(), x.clone().requires_grad_()
    cka(plain, y).backward()
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = cka(cast, y)
    value.backward()
    assert torch.equal(value, cka(x, y))
    assert torch.equal(cast.grad, plain.grad)


@SIDES
@pytest.mark.parametrize('unbiased', [False, True])
@pytest.mark.parametrize('make', [torch.zeros_like, lambda x: torch.full_like(x, 0.1) + x[:1]])
@pytest.mark.parametrize('degenerate', [0.0, 1.0])
def test_constant_rows_give_the_degenerate_value_without_gradient(
    shape, unbiased, make, degenerate
):
    x, y = pair(shape, torch.float32)
    for first, second in ((make(x), y), (x, make(y))):
        first, second = first.clone().requires_grad_(), second.clone().requires_grad_()
        value = cka(first, second, unbiased=unbiased, degenerate=degenerate)
        value.backward()
        assert value.item() == degenerate
        assert not first.grad.any()
        assert not second.grad.any()


def test_single_row():
    x = torch.randn(1, 5, requires_grad=True)
    value = cka(x, torch.randn(1, 4))
    value.backward()
    assert value.item() == 0
    assert not x.grad.any()


@pytest.mark.parametrize('options', [{}, {'center': False}, {'unbiased': True}], ids=str)
@pytest.mark.parametrize('shape', [(), (3,)])
def test_no_rows_give_the_degenerate_value_in_the_graph(shape, options):
    x = torch.zeros(*shape, 0, 5, requires_grad=True)
    value = cka(x, torch.zeros(*shape, 0, 4), degenerate=-2.0, **options)
    value.sum().backward()
    assert torch.equal(value, torch.full(shape, -2.0))
    assert x.grad.shape == x.shape


def test_unbiased_vanishes_where_all_rows_are_equally_similar():
    value = cka(torch.eye(5), torch.randn(5, 5), unbiased=True, degenerate=-2.0)
    assert value.item() == -2


@SIDES
def test_a_weak_signal_on_a_large_offset_is_not_degenerate(shape):
    x, y = pair(shape, torch.float32)
    offset = x + 1000
    torch.testing.assert_close(cka(offset, y), cka(x, y), rtol=1e-3, atol=1e-3)


def test_degenerate_matrices_do_not_touch_the_others_of_a_batch():
    x, y = pair(GRAM_SIDE, batch=(2,))
    x[0] = 3.0
    x.requires_grad_()
    values = cka(x, y)
    values.sum().backward()
    assert values[0] == 0
    torch.testing.assert_close(values[1], loop_cka(x[1], y[1], center=True))
    assert not x.grad[0].any()
    assert x.grad[1].any()


@SIDES
@pytest.mark.parametrize('bad', [float('nan'), float('inf')])
def test_a_diverged_input_is_not_hidden(shape, bad):
    x, y = pair(shape, torch.float32)
    x[0, 0] = bad
    assert cka(x, y).isnan()


@pytest.mark.parametrize(
    ('shapes', 'options', 'message'),
    [
        (((3,), (3,)), {}, r'x: expected a shape \(\.\.\., N, P\), got \(3,\)'),
        (((5, 2), (6, 2)), {}, r'y: expected a shape \(\.\.\., 5, Q\) .* got \(6, 2\)'),
        (((3, 2), (3, 2)), {'unbiased': True}, 'x: expected at least 4 rows .* got 3'),
        (((5, 2), (5, 2)), {'unbiased': True, 'center': False}, 'center: expected True'),
    ],
)
def test_errors(shapes, options, message):
    with pytest.raises(ValueError, match=message):
        cka(torch.randn(shapes[0]), torch.randn(shapes[1]), **options)


def test_functional_needs_torch_only():
    code = (
        'import sys, mmkd.functional\n'
        "print({m.split('.')[0] for m in sys.modules} & {'mmengine', 'mmrazor', 'mmdet', 'mmcv'})"
    )
    run = subprocess.run([sys.executable, '-c', code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == 'set()'
