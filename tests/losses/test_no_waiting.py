"""No loss makes the host wait for an accelerator.

Tensors on the device ``meta`` have shapes but no data. An operation that reads a value raises
there, and so do most that mix in a tensor made on the CPU. On a GPU, the first would wait for all
earlier work, and the second would fail.
"""

from contextlib import nullcontext

import pytest
import torch

from mmkd.losses import (
    CCKDLoss,
    CMKDLoss,
    DLKDAlignLoss,
    DLKDCorrLoss,
    DLKDSupLoss,
    FCKALoss,
    FKDLoss,
    LCKALoss,
    MimicLoss,
    MMDLoss,
    PCKALoss,
)

ROWS = (16, 10)
MAPS = (2, 4, 25, 42)
LABELS = torch.arange(16, device='meta') // 4


def random(*shape):
    return torch.randn(*shape, device='meta')


CASES = {
    'PCKA': (PCKALoss(patch_size=4), MAPS),
    'PCKA, unbiased': (PCKALoss(patch_size=4, unbiased=True), MAPS),
    'PCKA by chunks': (PCKALoss(), (2, 256, 100, 168)),
    'FKD': (FKDLoss(), ROWS),
    'RCKA, features': (FCKALoss(), ROWS),
    'RCKA, unbiased': (FCKALoss(unbiased=True), ROWS),
    'RCKA, logits': (LCKALoss(), ROWS),
    'CCKD, mmd': (CCKDLoss('mmd'), ROWS),
    'CCKD, bilinear': (CCKDLoss('bilinear'), ROWS),
    'CCKD, rbf': (CCKDLoss('rbf'), ROWS),
    'CMKD': (CMKDLoss(), ROWS),
    'CMKD, pairwise': (CMKDLoss(rank_method='pairwise'), ROWS),
    'DLKD, alignment': (DLKDAlignLoss(), ROWS),
    'DLKD, correlation': (DLKDCorrLoss(num_views=4), ROWS),
    'MMD': (MMDLoss(), ROWS),
    'mimic': (MimicLoss(), MAPS),
}


@pytest.fixture(autouse=True)
def no_autocast(monkeypatch):
    """``meta`` has no autocast."""
    monkeypatch.setattr(torch, 'autocast', lambda *_, **__: nullcontext())


@pytest.mark.parametrize(('loss', 'shape'), CASES.values(), ids=CASES)
def test_forward_and_backward(loss, shape):
    student = random(*shape).requires_grad_()
    value = loss(student, random(*shape))
    value.backward()
    assert value.shape == ()
    assert student.grad.shape == shape


def test_supervised_contrast():
    student, teacher = random(*ROWS).requires_grad_(), random(*ROWS)
    DLKDSupLoss()(student, teacher, LABELS).backward()
    assert student.grad.shape == ROWS


@pytest.mark.parametrize('ask', [torch.nonzero, lambda x: x[x > 0], lambda x: bool(x.sum() > 0)])
def test_reading_a_value_raises(ask):
    with pytest.raises((NotImplementedError, RuntimeError)):
        ask(random(4, 5))
