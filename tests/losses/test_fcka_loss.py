"""FCKALoss: samples as rows, levels of different shapes, processes, safety, errors."""

import numpy as np
import pytest
import torch
from helpers import assert_two_processes_equal_one

from mmkd.functional import cka
from mmkd.losses import FCKALoss
from mmkd.registry import MODELS

STUDENT, TEACHER = (6, 2, 4, 5), (6, 3, 2, 2)


def maps(shape, seed=0, dtype=torch.float32):
    generator = torch.Generator().manual_seed(seed)
    return (torch.randn(shape, generator=generator, dtype=torch.float64) + 0.3).to(dtype)


def pair(dtype=torch.float32):
    return maps(STUDENT, 0, dtype), maps(TEACHER, 1, dtype)


def numpy_cka(student, teacher, center):
    """Cosine of the samples' Gram matrices, centered on both sides by H = I - 11'/B."""
    grams = []
    for x in (student, teacher):
        rows = np.stack([sample.ravel() for sample in x.double().numpy()])
        h = np.eye(len(rows)) - center / len(rows)
        grams.append(h @ np.dot(rows, rows.T) @ h)
    k, l = grams  # noqa: E741
    return np.trace(k @ l) / np.sqrt(np.trace(k @ k) * np.trace(l @ l))


@pytest.mark.parametrize('center', [True, False])
def test_equals_numpy(center):
    student, teacher = pair(torch.float64)
    loss = MODELS.build({'type': 'mmkd.FCKALoss', 'center': center})
    expected = 5 * (1 - numpy_cka(student, teacher, center))
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)


def test_rows_of_gram_matrices_over_the_lengths_of_samples():
    student, teacher = pair(torch.float64)
    grams = []
    for x in (student, teacher):
        rows = x.flatten(1).numpy()
        grams.append(rows @ rows.T / np.linalg.norm(rows, axis=1, keepdims=True))
    k, l = grams  # noqa: E741
    expected = 5 * (1 - (k * l).sum() / np.linalg.norm(k) / np.linalg.norm(l))
    loss = FCKALoss(center=False, normalize=True)
    assert loss(student, teacher).item() == pytest.approx(expected, rel=1e-12)
    with pytest.raises(ValueError, match='normalize: expected False with unbiased=True, got True'):
        FCKALoss(unbiased=True, normalize=True)


def test_of_one_value_a_sample_is_a_squared_correlation():
    student, teacher = maps((9, 1, 1, 1)), maps((9, 1, 1, 1), seed=1)
    correlation = np.corrcoef(student.flatten(), teacher.flatten())[0, 1]
    value = FCKALoss(loss_weight=1.0)(student, teacher)
    assert value.item() == pytest.approx(1 - correlation**2, rel=1e-5)


def test_hand_computed():
    student = torch.tensor([1.0, 0.0, 0.0]).view(3, 1, 1, 1)
    teacher = torch.tensor([[1.0, 0.0], [0.0, 1.0], [0.0, 0.0]]).view(3, 1, 1, 2)
    # |Y^T X|^2 = 1, |X^T X| = 1, |Y^T Y| = sqrt(2)
    value = FCKALoss(center=False, loss_weight=2.0)(student, teacher)
    assert value.item() == pytest.approx(2 * (1 - 2**-0.5))
    # centered: |Y^T X|^2 = 4/9 + 1/9, |X^T X| = 2/3, |Y^T Y| = sqrt(10)/3
    value = FCKALoss(loss_weight=2.0)(student, teacher)
    assert value.item() == pytest.approx(2 * (1 - 5 / 9 / (2 / 3 * 10**0.5 / 3)))


def test_unbiased_passes_on():
    student, teacher = pair(torch.float64)
    value = FCKALoss(unbiased=True, loss_weight=1.0)(student, teacher)
    expected = 1 - cka(student.flatten(1), teacher.flatten(1), unbiased=True)
    torch.testing.assert_close(value, expected)
    assert value - FCKALoss(loss_weight=1.0)(student, teacher) > 0.1


def test_sums_levels_of_different_shapes():
    students = maps(STUDENT, 0), maps((6, 8, 2, 2), 2), maps((6, 7), 4)
    teachers = maps(TEACHER, 1), maps((6, 1, 9, 1), 3), maps((6, 3), 5)
    loss = FCKALoss(loss_weight=1.0)
    each = [loss(s, t) for s, t in zip(students, teachers, strict=True)]
    torch.testing.assert_close(loss(students, teachers), sum(each))
    chosen = FCKALoss(levels=[2, 0], loss_weight=1.0)(students, teachers)
    torch.testing.assert_close(chosen, each[2] + each[0])


def test_layout_of_the_values_does_not_matter_but_the_order_of_samples_does():
    student, teacher = pair()
    loss = FCKALoss()
    value = loss(student, teacher)
    order = torch.tensor([3, 0, 5, 1, 4, 2])
    torch.testing.assert_close(loss(student[order], teacher[order]), value)
    torch.testing.assert_close(loss(student.flip(1, 3), teacher.transpose(1, 2)), value)
    torch.testing.assert_close(loss(student.to(memory_format=torch.channels_last), teacher), value)
    assert abs(loss(student[order], teacher) - value) > 1e-2


@pytest.mark.parametrize('center', [True, False])
def test_gradcheck(center):
    student, teacher = pair(torch.float64)
    loss = FCKALoss(center=center)
    assert torch.autograd.gradcheck(lambda s: loss(s, teacher), student.requires_grad_())


def test_gradient_reaches_the_student_only():
    student, teacher = (x.requires_grad_() for x in pair())
    FCKALoss()(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


@pytest.mark.parametrize('options', [{}, {'center': False}, {'unbiased': True}], ids=str)
@pytest.mark.parametrize('shape', [STUDENT, (40, 2, 2, 1)], ids=['gram', 'feature'])
def test_zero_without_gradient_when_equal(options, shape):
    student = maps(shape).requires_grad_()
    value = FCKALoss(**options)(student, student.detach().clone())
    value.backward()
    assert 0 <= value < 1e-5
    assert student.grad.abs().max() < 1e-5


def test_never_negative():
    loss = FCKALoss()
    for seed in range(20):
        student = maps((40, 2, 2, 1), seed)
        assert loss(student, student * (1 + 1e-6 * seed)) >= 0


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('fill', [0.0, 0.1, 6e4])
def test_samples_that_are_alike_give_zero_without_gradient(dtype, autocast, fill):
    teacher = maps(TEACHER, 1, dtype)
    student = torch.full(STUDENT, fill, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = FCKALoss()(student, teacher)
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_a_single_sample_gives_zero_without_gradient():
    student = torch.randn(1, 2, 3, 3, requires_grad=True)
    value = FCKALoss()(student, torch.randn(1, 4, 2, 2))
    value.backward()
    assert value == 0
    assert not student.grad.any()


def test_two_centered_samples_are_always_alike():
    student, teacher = (x[:2] for x in pair())
    assert FCKALoss()(student, teacher).abs() < 1e-5
    assert FCKALoss(center=False)(student, teacher) > 1e-2


@pytest.mark.parametrize('which', [0, 1])
def test_a_diverged_input_is_not_hidden(which):
    arguments = pair()
    arguments[which][0, 0, 0, 0] = float('nan')
    assert FCKALoss()(*arguments).isnan()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
@pytest.mark.parametrize('autocast', [False, True])
def test_half_precision_is_computed_in_float32(dtype, autocast):
    student, teacher = (x.to(dtype) for x in pair())
    upcast = student.float().requires_grad_()
    student.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = FCKALoss()(student, teacher)
    value.backward()
    expected = FCKALoss()(upcast, teacher.float())
    expected.backward()
    assert value.dtype == torch.float32
    assert torch.equal(value, expected)
    assert torch.equal(student.grad, upcast.grad.to(dtype))


def test_two_processes_equal_one_with_unequal_shares():
    student, teacher = maps((7, 2, 3, 3)), maps((7, 3, 2, 2), seed=1)
    splits = (None, (0, 7), (2, 5))
    assert_two_processes_equal_one(FCKALoss(), student.requires_grad_(), teacher, splits=splits)


def test_without_gather_processes_compare_their_own_samples(monkeypatch):
    monkeypatch.setattr('mmkd.losses.rcka_loss.gather_rows', lambda x: torch.cat([x, 2 * x]))
    student, teacher = pair()
    alone = FCKALoss(gather=False)(student, teacher)
    joined = FCKALoss()(student, teacher)
    assert alone.item() == pytest.approx(5 * (1 - numpy_cka(student, teacher, True)), rel=1e-5)
    assert abs(joined - alone) > 1e-3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'unbiased': True, 'center': False}, 'center: expected True with unbiased=True'),
        ({'loss_weight': -1}, 'loss_weight: expected a finite number >= 0, got -1'),
        ({'levels': [0, 0]}, r'levels: expected distinct .* got \[0, 0\]'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        FCKALoss(**options)


def test_shape_errors():
    student, teacher = pair()
    loss = FCKALoss()
    message = r'shape \(B, \.\.\.\) .* the student of shape \(6, 2, 4, 5\), got \(5, 3, 2, 2\)'
    with pytest.raises(ValueError, match='^teacher: expected a ' + message):
        loss(student, teacher[:5])
    with pytest.raises(ValueError, match=r'^teacher\[1\]: expected a ' + message):
        loss((student, student), (teacher, teacher[:5]))
    with pytest.raises(ValueError, match=r'^teacher: .* of shape \(\), got \(\)'):
        loss(torch.tensor(1.0), torch.tensor(1.0))
    with pytest.raises(ValueError, match=r'^student: expected at least 4 rows .* got 3'):
        FCKALoss(unbiased=True)(student[:3], teacher[:3])
    with pytest.raises(TypeError, match=r'student: expected a Tensor or a non-empty tuple .* dict'):
        loss({'p3': student}, teacher)
