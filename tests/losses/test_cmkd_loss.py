"""CMKDLoss: options, processes, gradients, safety, errors."""

import pytest
import torch
from helpers import assert_two_processes_equal_one

from mmkd.functional import cmkd
from mmkd.losses import CMKDLoss
from mmkd.losses.base import relational_loss
from mmkd.registry import MODELS


def logits(rows=8, classes=10, dtype=torch.float32):
    """The teacher is surer with every sample."""
    generator = torch.Generator().manual_seed(0)
    teacher = torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    student = teacher + torch.randn(rows, classes, generator=generator, dtype=torch.float64)
    sharpness = torch.linspace(0.5, 4, rows, dtype=torch.float64)[:, None]
    return student.to(dtype), (sharpness * teacher).to(dtype)


def test_is_registered_with_the_papers_weights():
    loss = MODELS.build({'type': 'mmkd.CMKDLoss'})
    assert isinstance(loss, CMKDLoss)
    assert (loss.tau, loss.primary_weight, loss.secondary_weight, loss.loss_weight) == (
        4.0,
        4.0,
        1.0,
        1.0,
    )


@pytest.mark.parametrize(
    'options',
    [
        {},
        {'tau': 1.0},
        {'primary_weight': 2.0},
        {'secondary_weight': 3.0},
        {'rank_method': 'pairwise'},
        {'rank_strength': 1.0},
    ],
)
def test_passes_its_options_on(options):
    student, teacher = logits()
    value = CMKDLoss(loss_weight=2.5, **options)(student, teacher)
    torch.testing.assert_close(value, 2.5 * cmkd(student, teacher, **options))
    if options:
        assert abs(value - CMKDLoss(loss_weight=2.5)(student, teacher)) > 1e-4


def test_hand_computed():
    # With two classes, both correlations are 1 or -1.
    teacher = torch.tensor([[0.0, 1.0], [0.0, 9.0], [2.0, 1.0], [7.0, 3.0]])
    student = teacher * torch.tensor([[1.0], [1.0], [1.0], [-1.0]])
    assert CMKDLoss()(student, teacher).item() == pytest.approx((4 * 2 + 2) / 4)
    assert CMKDLoss(reduction='sum')(student, teacher).item() == pytest.approx(4 * 2 + 2)
    assert CMKDLoss()(student, student).item() == 0


def test_gradient_reaches_the_student_only():
    student, teacher = (x.requires_grad_() for x in logits())
    CMKDLoss()(student, teacher).backward()
    assert student.grad.any(1).all()
    assert teacher.grad is None


@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
def test_a_gradient_step_lowers_the_loss(rank_method):
    student, teacher = logits()
    student.requires_grad_()
    loss = CMKDLoss(rank_method=rank_method)
    before = loss(student, teacher)
    before.backward()
    assert loss((student - 0.1 * student.grad).detach(), teacher) < before


def test_sum_is_the_mean_times_the_samples():
    student, teacher = logits()
    total = CMKDLoss(reduction='sum')(student, teacher)
    torch.testing.assert_close(total, 8 * CMKDLoss()(student, teacher))


@pytest.mark.parametrize('reduction', ['mean', 'sum'])
def test_two_processes_equal_one_on_average(reduction):
    """Each process weights its own samples by the mean entropy of all samples."""
    student, teacher = logits(dtype=torch.float64)
    loss, splits = CMKDLoss(reduction=reduction), (None, (0, 8), (3, 5))
    assert_two_processes_equal_one(
        loss, student.requires_grad_(), teacher, splits=splits, average=True
    )


def test_without_gather_each_process_is_alone(monkeypatch):
    alone = CMKDLoss()(*logits())
    monkeypatch.setattr(relational_loss, 'gather_rows', lambda x: x + 10)  # now no sample is unsure
    monkeypatch.setattr(relational_loss, 'mean_over_processes', lambda mean, rows: mean * rows)
    assert CMKDLoss(gather=False)(*logits()) == alone
    surer = cmkd(*logits(), mean_entropy=torch.tensor(10.0))
    assert abs(surer - alone) > 1e-2
    assert CMKDLoss()(*logits()) == 8 * surer


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('shape', [(1, 1), (6, 1), (1, 10), (6, 10)])
@pytest.mark.parametrize('rank_method', ['fast', 'pairwise'])
def test_constant_logits_give_zero_without_gradient(dtype, autocast, shape, rank_method):
    student = torch.full(shape, 0.1, dtype=dtype, requires_grad=True)
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = CMKDLoss(rank_method=rank_method)(student, torch.randn(shape).to(dtype))
    value.backward()
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float16, torch.bfloat16])
def test_half_precision_under_autocast(dtype):
    student, teacher = logits(dtype=dtype)
    with torch.autocast('cpu', dtype=torch.bfloat16):
        value = CMKDLoss()(student, teacher)
    assert value.dtype == torch.float32
    assert torch.equal(value, CMKDLoss()(student.float(), teacher.float()))


@pytest.mark.parametrize('which', [0, 1])
def test_a_diverged_input_is_not_hidden(which):
    arguments = logits()
    arguments[which][0, 0] = float('nan')
    assert CMKDLoss()(*arguments).isnan()


@pytest.mark.parametrize(
    ('name', 'value', 'message'),
    [
        ('tau', 0.0, 'a finite number > 0, got 0.0'),
        ('tau', float('inf'), 'a finite number > 0, got inf'),
        ('primary_weight', -1.0, 'a finite number >= 0, got -1.0'),
        ('secondary_weight', float('nan'), 'a finite number >= 0, got nan'),
        ('rank_method', 'exact', r"one of \('fast', 'pairwise'\), got 'exact'"),
        ('rank_strength', 0.0, 'a finite number > 0, got 0.0'),
        ('loss_weight', -1.0, 'a finite number >= 0, got -1.0'),
        ('reduction', 'none', r"one of \('mean', 'sum'\), got 'none'"),
    ],
)
def test_construction_errors(name, value, message):
    with pytest.raises(ValueError, match=f'^{name}: expected {message}'):
        CMKDLoss(**{name: value})


@pytest.mark.parametrize(
    ('student', 'teacher', 'message'),
    [
        ((6, 4, 1), (6, 4), r'student: expected a shape \(B, D\), got \(6, 4, 1\)'),
        ((6, 4), (5, 4), r'teacher: expected a shape \(6, D\), got \(5, 4\)'),
        ((6, 4), (6, 9), "teacher: expected logits of the student's 4 classes, got 9; use .* FKD"),
    ],
)
def test_shape_errors(student, teacher, message):
    with pytest.raises(ValueError, match='^' + message):
        CMKDLoss()(torch.zeros(student), torch.zeros(teacher))


def test_type_errors():
    x = torch.zeros(6, 4)
    with pytest.raises(TypeError, match=r'^student: expected a Tensor .* got tuple; .* data_idx'):
        CMKDLoss()((x,), x)
    with pytest.raises(TypeError, match=r'^teacher: expected a Tensor .* got list'):
        CMKDLoss()(x, [x])
