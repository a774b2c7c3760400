"""LCKALoss: over samples and over classes, temperature, processes, safety, errors."""

import numpy as np
import pytest
import torch
from helpers import assert_two_processes_equal_one
from scipy.special import softmax

from mmkd.losses import LCKALoss
from mmkd.registry import MODELS

INTRA = {'inter_weight': 0.0, 'loss_weight': 1.0}
INTER = {'intra_weight': 0.0, 'loss_weight': 1.0}


def logits(rows=6, classes=4, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    return (x + torch.linspace(-1, 1, classes, dtype=torch.float64)).to(dtype)


def pair(dtype=torch.float32, **shape):
    return logits(**shape, dtype=dtype), logits(**shape, seed=1, dtype=dtype)


def numpy_cka(x, y, center):
    """|Y'X|^2 / (|X'X| |Y'Y|), centered if asked."""
    x, y = (z - center * z.mean(0) for z in (x, y))
    norms = np.linalg.norm(x.T @ x) * np.linalg.norm(y.T @ y)
    return np.linalg.norm(y.T @ x) ** 2 / norms


@pytest.mark.parametrize('center', [True, False])
@pytest.mark.parametrize('tau', [None, 4.0])
@pytest.mark.parametrize('shape', [(6, 4), (4, 9), (30, 3)], ids=str)
def test_equals_numpy(center, tau, shape):
    student, teacher = pair(torch.float64, rows=shape[0], classes=shape[1])
    options = {'intra_weight': 0.3, 'inter_weight': 2.0, 'tau': tau, 'center': center}
    loss = MODELS.build({'type': 'mmkd.LCKALoss', **options})
    s, t = (x.numpy() if tau is None else softmax(x.numpy() / tau, 1) for x in (student, teacher))
    distances = 1 - numpy_cka(s, t, center), 1 - numpy_cka(s.T, t.T, center)
    expected = 5 * (0.3 * distances[0] + 2.0 * distances[1])
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-11)


@pytest.mark.parametrize('center', [True, False])
def test_rows_of_gram_matrices_over_the_lengths_of_samples_or_classes(center):
    """As the authors' code has it, with ``center=False``."""

    def similarity(x, y):
        grams = []
        for rows in (x, y):
            rows = rows - center * rows.mean(0)
            grams.append(rows @ rows.T / np.linalg.norm(rows, axis=1, keepdims=True))
        k, l = grams  # noqa: E741
        return (k * l).sum() / np.linalg.norm(k) / np.linalg.norm(l)

    student, teacher = pair(torch.float64)
    loss = LCKALoss(intra_weight=0.3, inter_weight=2.0, center=center, normalize=True)
    s, t = student.numpy(), teacher.numpy()
    expected = 5 * (0.3 * (1 - similarity(s, t)) + 2.0 * (1 - similarity(s.T, t.T)))
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-11)


def test_hand_computed():
    student = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]])
    teacher = torch.tensor([[1.0, 0.0], [0.0, 0.0], [0.0, 0.0]])
    # samples: |Y^T X|^2 = 4/9 + 1/9, |X^T X| = sqrt(10)/3, |Y^T Y| = 2/3
    expected = 1 - 5 / 9 / (10**0.5 / 3 * 2 / 3)
    assert LCKALoss(**INTRA)(student, teacher).item() == pytest.approx(expected)
    assert LCKALoss(**INTER)(student.T, teacher.T).item() == pytest.approx(expected)
    weighted = LCKALoss(loss_weight=2.0, inter_weight=3.0)  # and two samples are always alike
    assert weighted(student.T, teacher.T).item() == pytest.approx(2 * 3 * expected)


@pytest.mark.parametrize(('options', 'shape'), [(INTRA, (2, 5)), (INTER, (5, 2))], ids=str)
def test_two_centered_rows_are_always_alike(options, shape):
    student, teacher = logits(*shape), logits(*shape, seed=1)
    assert LCKALoss(**options)(student, teacher).abs() < 1e-6
    assert LCKALoss(**options, center=False)(student, teacher) > 1e-2


def test_is_permutation_invariant_in_samples_and_in_classes():
    student, teacher = pair()
    loss = LCKALoss()
    value = loss(student, teacher)
    samples, classes = torch.tensor([4, 2, 5, 0, 1, 3]), torch.tensor([2, 0, 3, 1])
    torch.testing.assert_close(loss(student[samples], teacher[samples]), value)
    torch.testing.assert_close(loss(student[:, classes], teacher[:, classes]), value)
    assert LCKALoss(**INTRA)(student[samples], student) > 1e-2
    assert LCKALoss(**INTER)(student[:, classes], student) > 1e-2


def test_which_term_sees_which_order():
    """CKA over samples ignores the order of classes. CKA over classes ignores that of samples."""
    student, teacher = pair()
    intra, inter = LCKALoss(**INTRA), LCKALoss(**INTER)
    torch.testing.assert_close(intra(student.flip(1), teacher), intra(student, teacher))
    torch.testing.assert_close(inter(student.flip(0), teacher), inter(student, teacher))
    assert abs(intra(student.flip(0), teacher) - intra(student, teacher)) > 1e-2
    assert abs(inter(student.flip(1), teacher) - inter(student, teacher)) > 1e-2


def test_over_samples_class_counts_are_free():
    student, teacher = logits(classes=4), logits(classes=7, seed=1)
    value = LCKALoss(**INTRA)(student, teacher)
    expected = 1 - numpy_cka(student.numpy(), teacher.numpy(), True)
    assert value.item() == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize('options', [{}, {'tau': 2.0}, {'center': False}], ids=str)
def test_gradcheck(options):
    student, teacher = pair(torch.float64)
    loss = LCKALoss(**options)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student.requires_grad_())


def test_gradient_reaches_the_student_only():
    student, teacher = (x.requires_grad_() for x in pair())
    LCKALoss()(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize('options', [{}, {'tau': 4.0}, {'center': False}], ids=str)
@pytest.mark.parametrize('shape', [(6, 4), (4, 9)], ids=str)
def test_zero_without_gradient_when_equal(options, shape):
    student = logits(*shape).requires_grad_()
    value = LCKALoss(**options)(student, student.detach().clone())
    value.backward()
    assert 0 <= value < 1e-5
    assert student.grad.abs().max() < 1e-5


def test_zero_for_a_scaled_and_shifted_teacher():
    student = logits(dtype=torch.float64)
    assert LCKALoss()(student, 3 * student + 2).abs() < 1e-12


def test_never_negative():
    loss = LCKALoss()
    for seed in range(20):
        student = logits(30, 5, seed)
        assert loss(student, student * (1 + 1e-6 * seed)) >= 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
@pytest.mark.parametrize('tau', [None, 4.0])
def test_constant_logits_give_zero_without_gradient(dtype, autocast, fill, tau):
    student = torch.full((6, 4), fill, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = LCKALoss(tau=tau)(student, logits(dtype=dtype))
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_a_lone_sample_gives_zero_over_samples_and_a_squared_correlation_over_classes():
    student, teacher = pair(rows=1, classes=5)
    student.requires_grad_()
    value = LCKALoss(**INTRA)(student, teacher)
    value.backward()
    assert value == 0
    assert not student.grad.any()
    correlation = np.corrcoef(student.detach()[0], teacher[0])[0, 1]
    value = LCKALoss(**INTER)(student, teacher)
    value.backward()
    assert value.item() == pytest.approx(1 - correlation**2, rel=1e-5)
    assert student.grad.isfinite().all()


@pytest.mark.parametrize('which', [0, 1])
@pytest.mark.parametrize('options', [INTRA, INTER, {'tau': 4.0}], ids=['intra', 'inter', 'tau'])
def test_a_diverged_input_is_not_hidden(which, options):
    arguments = pair()
    arguments[which][0, 0] = float('nan')
    assert LCKALoss(**options)(*arguments).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('tau', [None, 4.0])
def test_half_precision_is_computed_in_float32(dtype, autocast, tau):
    student, teacher = (x.to(dtype) for x in pair())
    upcast = student.float().requires_grad_()
    student.requires_grad_()
    loss = LCKALoss(tau=tau)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = loss(student, teacher)
    value.backward()
    expected = loss(upcast, teacher.float())
    expected.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    if tau is None:  # over samples and over classes, each gradient is rounded before their sum
        torch.testing.assert_close(student.grad.float(), upcast.grad, rtol=2**-7, atol=1e-3)
    else:
        assert torch.equal(student.grad, upcast.grad.to(dtype))


def test_two_processes_equal_one_with_unequal_shares():
    student, teacher = pair(rows=7)
    assert_two_processes_equal_one(
        LCKALoss(tau=2.0), student.requires_grad_(), teacher, splits=(None, (0, 7), (2, 5))
    )


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'intra_weight': -1}, 'intra_weight: expected a finite number >= 0, got -1'),
        ({'inter_weight': float('inf')}, 'inter_weight: expected a finite number >= 0, got inf'),
        ({'loss_weight': float('nan')}, 'loss_weight: expected a finite number >= 0, got nan'),
        ({'tau': 0}, 'tau: expected a finite number > 0, got 0'),
        ({'tau': float('nan')}, 'tau: expected a finite number > 0, got nan'),
        ({'tau': float('inf')}, 'tau: expected a finite number > 0, got inf'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        LCKALoss(**options)


def test_shape_and_type_errors():
    student, teacher = pair()
    loss = LCKALoss()
    with pytest.raises(ValueError, match=r'student: expected a shape \(B, D\), got \(6, 4, 1\)'):
        loss(student[..., None], teacher)
    with pytest.raises(ValueError, match=r'teacher: expected a shape \(6, D\), got \(5, 4\)'):
        loss(student, teacher[:5])
    message = "teacher: .* student's 4 classes, got 7; set inter_weight=0 to compare samples only"
    with pytest.raises(ValueError, match=message):
        loss(student, logits(classes=7))
    with pytest.raises(TypeError, match=r'teacher: expected a Tensor .* got tuple; .* data_idx'):
        loss(student, (teacher,))
