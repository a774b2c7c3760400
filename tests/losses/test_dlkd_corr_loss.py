"""DLKDCorrLoss: the order of views, two processes, gradients, safety, errors."""

import pytest
import torch
from helpers import assert_two_processes_equal_one
from scipy.special import rel_entr, softmax
from sklearn.metrics.pairwise import cosine_similarity

from mmkd.losses import DLKDCorrLoss
from mmkd.losses.base import relational_loss
from mmkd.registry import MODELS

B, V = 4, 4


def pair(dtype=torch.float32, rows=B * V):
    generator = torch.Generator().manual_seed(0)
    student = torch.randn(rows, 5, generator=generator, dtype=dtype)
    return student, torch.randn(rows, 7, generator=generator, dtype=dtype)


def matrices(student, teacher, tau):
    """Whole matrices. The first B rows are those of the upright images."""
    p, q = (
        softmax(cosine_similarity(x[B:].numpy(), x[:B].numpy()) / tau, axis=1)
        for x in (teacher, student)
    )
    return rel_entr(p, q).sum(1).mean()


@pytest.mark.parametrize('tau', [0.5, 0.2])
def test_equals_whole_matrices(tau):
    student, teacher = pair(torch.float64)
    value = DLKDCorrLoss(tau=tau, loss_weight=3.0)(student, teacher)
    assert value.item() == pytest.approx(3 * matrices(student, teacher, tau), rel=1e-10)


def test_is_registered():
    loss = MODELS.build({'type': 'mmkd.DLKDCorrLoss', 'num_views': 2})
    assert (loss.num_views, loss.tau, loss.loss_weight, loss.gather) == (2, 0.5, 20.0, True)


def test_number_of_views():
    student, teacher = pair(torch.float64)
    value = DLKDCorrLoss(num_views=2, loss_weight=1.0)(student, teacher)
    by_image = [x.unflatten(0, (2, 8)).transpose(0, 1) for x in (student, teacher)]
    logs = [
        torch.cosine_similarity(x[:, 1, None], x[None, :, 0], dim=-1).div(0.5).log_softmax(1)
        for x in by_image
    ]
    expected = (logs[1].exp() * (logs[1] - logs[0])).sum(1).mean()
    torch.testing.assert_close(value, expected)


def test_gradcheck_and_gradient_for_the_student_only():
    student, teacher = (x.requires_grad_() for x in pair(torch.float64))
    assert torch.autograd.gradcheck(lambda s: DLKDCorrLoss()(s, teacher), (student,))
    DLKDCorrLoss()(student, teacher).backward()
    assert student.grad.any()
    assert teacher.grad is None


def test_zero_without_gradient_when_equal():
    student, _ = pair()
    student.requires_grad_()
    value = DLKDCorrLoss()(student, student.detach().clone())
    value.backward()
    assert value == 0
    assert student.grad.abs().max() < 1e-6


def test_a_gradient_step_lowers_the_loss():
    student, teacher = pair()
    student.requires_grad_()
    loss = DLKDCorrLoss()
    before = loss(student, teacher)
    before.backward()
    assert loss((student - 0.1 * student.grad).detach(), teacher) < before


def test_order_of_images_does_not_matter():
    student, teacher = pair(torch.float64)
    order = torch.randperm(B)
    reordered = (x.unflatten(0, (V, B))[:, order].flatten(0, 1) for x in (student, teacher))
    torch.testing.assert_close(DLKDCorrLoss()(*reordered), DLKDCorrLoss()(student, teacher))


class OfImages(DLKDCorrLoss):
    """Takes features image by image, so that two processes can split them."""

    def forward(self, student, teacher):
        return super().forward(*(x.transpose(0, 1).flatten(0, 1) for x in (student, teacher)))


def images(dtype=torch.float64):
    student, teacher = (x.unflatten(0, (V, B)).transpose(0, 1) for x in pair(dtype))
    return student.contiguous().requires_grad_(), teacher.contiguous()


def test_two_processes_equal_one():
    assert_two_processes_equal_one(OfImages(), *images(), splits=(None, (0, 4), (1, 3)))


def test_without_gather_each_process_is_alone(monkeypatch):
    alone = OfImages()(*images())
    monkeypatch.setattr(relational_loss, 'gather_rows', lambda x: torch.cat([x, x.flip(-1)]))
    assert OfImages(gather=False)(*images()) == alone
    assert abs(OfImages()(*images()) - alone) > 1e-3


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize('autocast', [False, True])
@pytest.mark.parametrize('case', ['zeros', 'one image'])
def test_nothing_to_compare_gives_zero_without_gradient(dtype, autocast, case):
    student, teacher = pair(dtype, rows=V if case == 'one image' else B * V)
    student = torch.zeros_like(student) if case == 'zeros' else student
    student.requires_grad_()
    with torch.autocast('cpu', dtype=torch.bfloat16, enabled=autocast):
        value = DLKDCorrLoss()(student, teacher)
    value.backward()
    assert value.dtype == torch.float32
    assert value == 0
    assert not student.grad.any()


@pytest.mark.parametrize('dtype', [torch.float32, torch.bfloat16, torch.float16])
def test_constant_rows_are_finite(dtype):
    student = torch.full((B * V, 5), 3e4, dtype=dtype, requires_grad=True)
    value = DLKDCorrLoss()(student, pair(dtype)[1])
    value.backward()
    assert value.isfinite()
    assert student.grad.abs().max() < 1e-6


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'num_views': 1}, 'num_views: expected at least 2, got 1'),
        ({'num_views': 2.0}, r'num_views: expected a positive integer, got 2\.0'),
        ({'tau': 0.0}, r'tau: expected a finite number > 0, got 0\.0'),
        ({'loss_weight': -1}, 'loss_weight: expected a finite number >= 0, got -1'),
    ],
)
def test_construction_errors(options, message):
    with pytest.raises(ValueError, match=message):
        DLKDCorrLoss(**options)


@pytest.mark.parametrize(
    ('shapes', 'message'),
    [
        (((10, 5), (10, 5)), 'student: expected rows of 4 views, a multiple of 4, got 10'),
        (((8, 5), (4, 5)), r'teacher: expected a shape \(8, D\), got \(4, 5\)'),
        (((8, 5, 1, 1), (8, 5)), r'student: expected a shape \(B, D\), got \(8, 5, 1, 1\)'),
    ],
)
def test_shape_errors(shapes, message):
    with pytest.raises(ValueError, match=message):
        DLKDCorrLoss()(*(torch.zeros(shape) for shape in shapes))


def test_type_error():
    with pytest.raises(TypeError, match=r'student: expected a Tensor \(B, D\), got tuple'):
        DLKDCorrLoss()((torch.zeros(8, 5),), torch.zeros(8, 5))
