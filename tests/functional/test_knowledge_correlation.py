"""DLKD's correlation against SciPy and by its properties."""

import numpy as np
import pytest
import torch
from scipy.special import rel_entr, softmax
from sklearn.metrics.pairwise import cosine_similarity

from mmkd.functional import knowledge_correlation

B, V = 5, 4


def pair(dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(B, V, 6, generator=generator, dtype=dtype)
    return student, torch.randn(B, V, 9, generator=generator, dtype=dtype)


def loop(student, teacher, tau):
    """One row for each view of an image, by SciPy and scikit-learn."""
    total = 0.0
    for image in range(B):
        for view in range(1, V):
            p, q = (
                softmax(cosine_similarity(x[image, view][None], x[:, 0])[0] / tau)
                for x in (teacher.numpy(), student.numpy())
            )
            total += rel_entr(p, q).sum()
    return total / (B * (V - 1))


@pytest.mark.parametrize('tau', [0.5, 0.1, 4.0])
def test_equals_the_loop(tau):
    student, teacher = pair()
    value = knowledge_correlation(student, teacher, tau)
    assert value.item() == pytest.approx(loop(student, teacher, tau), rel=1e-10)


def test_by_hand():
    # Two images with one further view each. The student exchanges them.
    first = torch.eye(2)
    teacher, student = torch.stack([first, first], 1), torch.stack([first, first.flip(0)], 1)
    right = np.e**2 / (np.e**2 + 1)  # softmax of (1, 0) at tau 0.5
    expected = (2 * right - 1) * 2  # (p - q) log(p / q), with log(p / q) = 1 / tau
    assert knowledge_correlation(student, teacher).item() == pytest.approx(expected, rel=1e-6)


def test_is_not_symmetric():
    student, teacher = pair()
    forth, back = knowledge_correlation(student, teacher), knowledge_correlation(teacher, student)
    assert abs(forth - back) > 1e-4


def test_gradcheck_in_both_arguments():
    student, teacher = pair()
    assert torch.autograd.gradcheck(
        knowledge_correlation, (student.requires_grad_(), teacher.requires_grad_())
    )


@pytest.mark.parametrize('dtype', [torch.float32, torch.float64])
def test_zero_without_gradient_when_alike(dtype):
    student, _ = pair(dtype)
    rotation = torch.linalg.qr(torch.randn(6, 6, dtype=dtype))[0]
    teacher = 3 * student @ rotation
    student.requires_grad_()
    value = knowledge_correlation(student, teacher)
    value.backward()
    assert 0 <= value < 1e-6
    assert student.grad.abs().max() < 1e-6


def test_never_negative():
    for seed in range(50):
        generator = torch.Generator().manual_seed(seed)
        student = torch.randn(B, V, 6, generator=generator)
        assert knowledge_correlation(student, student * (1 + 1e-6 * seed)) >= 0


def test_order_of_images_does_not_matter_nor_of_further_views():
    student, teacher = pair()
    value = knowledge_correlation(student, teacher)
    images, views = torch.randperm(B), [0, 3, 1, 2]
    torch.testing.assert_close(knowledge_correlation(student[images], teacher[images]), value)
    torch.testing.assert_close(knowledge_correlation(student[:, views], teacher[:, views]), value)
    exchanged = [1, 0, 2, 3]
    other = knowledge_correlation(student[:, exchanged], teacher[:, exchanged])
    assert abs(other - value) > 1e-4


def test_one_image():
    student, teacher = (x[:1] for x in pair(torch.float32))
    student.requires_grad_()
    value = knowledge_correlation(student, teacher)
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('fill', [0.0, 0.1])
def test_a_constant_student_has_no_gradient(fill):
    _, teacher = pair(torch.float32)
    student = torch.full((B, V, 6), fill, requires_grad=True)
    value = knowledge_correlation(student, teacher)
    value.backward()
    assert value.isfinite()
    assert (value > 0) == (fill > 0)  # of zeros no row has a direction
    assert student.grad.abs().max() < 1e-6


def test_gradient_of_rows_of_zeros():
    student, teacher = pair(torch.float32)
    zeros = [(1, 2), (3, 0)]  # of a further view, and of a first one
    for zero in zeros:
        student[zero] = 0
    student.requires_grad_()
    knowledge_correlation(student, teacher).backward()
    assert student.grad.isfinite().all()
    for image in range(B):
        for view in range(V):
            assert student.grad[image, view].any() == ((image, view) not in zeros)


@pytest.mark.parametrize('side', [0, 1])
def test_a_row_of_zeros_takes_out_its_own_divergence(side):
    student, teacher = pair()
    whole = knowledge_correlation(student, teacher)
    p, q = (
        torch.cosine_similarity(x[1, 2][None], x[:, 0]).div(0.5).log_softmax(0)
        for x in (teacher, student)
    )
    missing = (p.exp() * (p - q)).sum() / (B * (V - 1))
    (student, teacher)[side][1, 2] = 0
    torch.testing.assert_close(knowledge_correlation(student, teacher), whole - missing)


@pytest.mark.parametrize('side', [0, 1])
def test_nan_is_not_hidden_by_zeros(side):
    views = [torch.zeros(2, 2, 3), torch.zeros(2, 2, 3)]
    views[side][0, 1, 0] = float('nan')
    assert knowledge_correlation(*views).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_and_autocast_change_nothing(dtype):
    student, teacher = (x.to(dtype) for x in pair(torch.float32))
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = knowledge_correlation(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, knowledge_correlation(student.float(), teacher.float()))


def test_a_cold_softmax_is_finite():
    student, teacher = (x.requires_grad_() for x in pair(torch.float32))
    value = knowledge_correlation(student, teacher, tau=1e-4)
    value.backward()
    assert value.isfinite()
    assert student.grad.isfinite().all()


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((8, 3), (8, 3)), r'student: expected a shape \(B, V, D\) .* got \(8, 3\)'),
        (((8, 1, 3), (8, 1, 3)), r'student: .* at least 2 views V, got \(8, 1, 3\)'),
        (((8, 4, 3), (8, 2, 3)), r'teacher: expected a shape \(8, 4, D\), got \(8, 2, 3\)'),
        (((8, 4, 3), (8, 4)), r'teacher: expected a shape \(8, 4, D\), got \(8, 4\)'),
    ],
)
def test_shape_errors(shapes, message):
    with pytest.raises(ValueError, match=message):
        knowledge_correlation(*(torch.randn(shape) for shape in shapes))


def test_temperature_error():
    with pytest.raises(ValueError, match=r'tau: expected a finite number > 0, got 0'):
        knowledge_correlation(*pair(), tau=0)
