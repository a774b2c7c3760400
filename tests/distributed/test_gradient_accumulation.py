"""Accumulated gradients of two processes make the steps of one process with the whole batch."""

import os

import pytest
import torch
from helpers import distiller_config, run_in_processes, toy_detector
from toy_runs import toy_runner

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.teachers import FrozenTeacher

# Five iterations of two processes: two steps of two iterations each, and one of what is left.
NUM_IMAGES, BATCH_SIZE, COUNTS = 20, 2, 2
CLIPPED = {'clip_grad': {'max_norm': 0.2}}  # the norm of each step's gradient is above this

pytestmark = pytest.mark.skipif(
    torch.cuda.is_available(), reason='the runner would choose the accelerator'
)


def build(seed):
    """A student and a connector of ``seed``, and always the same teacher."""
    teacher = FrozenTeacher(toy_detector(1))
    student = toy_detector(seed)
    connector = {'type': 'mmkd.LevelwiseConv', 'in_channels': 4, 'out_channels': 4, 'num_levels': 1}
    mapping = {
        'student': {'from_student': True, 'recorder': 'feature', 'connector': 'to_teacher'},
        'teacher': {'from_student': False, 'recorder': 'feature'},
    }
    distiller = distiller_config(
        connectors={'to_teacher': connector}, loss_forward_mappings={'loss_feature': mapping}
    )
    return FrozenTeacherDistill(student, teacher, distiller)


def train(model, work_dir, **options):
    """Parameters after training, and the number of iterations."""
    runner = toy_runner(model, work_dir, num_images=NUM_IMAGES, **CLIPPED, **options)
    runner.train()
    return {name: p.detach() for name, p in model.named_parameters()}, runner.iter


def accumulate(rank, work_dir):
    os.environ['LOCAL_RANK'] = str(rank)
    # The second process starts with other weights: it has to take over the first's.
    return train(build(rank), work_dir, batch_size=BATCH_SIZE, accumulative_counts=COUNTS)


def test_two_processes_equal_one(tmp_path):
    (first, iterations), (second, _) = run_in_processes(accumulate, str(tmp_path))
    alone, steps = train(build(0), tmp_path, batch_size=2 * BATCH_SIZE * COUNTS, launcher='none')
    assert (iterations, steps) == (5, 3)
    start = dict(build(0).named_parameters())
    assert 'distiller.connectors.to_teacher.convs.0.weight' in start
    for name, expected in alone.items():
        assert not torch.equal(expected, start[name]), name
        torch.testing.assert_close(first[name], expected, rtol=1e-5, atol=1e-6)
        assert torch.equal(first[name], second[name]), name
