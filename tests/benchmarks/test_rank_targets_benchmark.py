"""The benchmark of the teacher's ranks: its gradient at equality, and the table it prints."""

import sys

import pytest
import torch

from mmkd.losses import CMKDLoss

SCRIPT = 'benchmarks/rank_targets.py'


def test_gradient_at_equality_is_a_share_of_that_for_other_images(script):
    logits = torch.randn(16, 20, generator=torch.Generator().manual_seed(0))
    at_equality = script(SCRIPT).at_equality
    assert at_equality(CMKDLoss(teacher_ranks='soft'), logits) < 1e-3
    assert 1 < at_equality(CMKDLoss(), logits) < 100
    student = logits.roll(1, 0).requires_grad_()
    CMKDLoss()(student, logits).backward()
    equal = logits.clone().requires_grad_()
    CMKDLoss()(equal, logits).backward()
    expected = 100 * equal.grad.norm() / student.grad.norm()
    assert at_equality(CMKDLoss(), logits) == pytest.approx(expected.item(), rel=1e-5)


def test_prints_gains_over_the_default(script, monkeypatch, capsys):
    arguments = ['--seeds', '0', '1', '--epochs', '1', '--teacher-epochs', '2']
    monkeypatch.setattr(sys, 'argv', [SCRIPT, *arguments])
    threads = torch.get_num_threads()
    try:
        script(SCRIPT).main()
    finally:
        torch.set_num_threads(threads)
    teacher, head, _, *rows = capsys.readouterr().out.strip().splitlines()
    assert float(teacher.split()[1].rstrip(';')) > 60
    assert head == '| | top-1 | at equality, % | gain |'
    gains = {row.split(' | ')[0][2:]: row.split(' | ')[-1].rstrip(' |') for row in rows}
    assert [name for name, gain in gains.items() if not gain] == ['student alone', 'CMKD']
    assert len(gains) == 5
