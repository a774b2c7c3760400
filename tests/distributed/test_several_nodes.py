"""Two nodes with one process each do what one node with two does."""

import pytest
from launching import assert_same_metrics, assert_same_training

pytestmark = pytest.mark.slow

# The nodes have folders of their own, so results cannot travel by files, MMEngine's default.
NO_SHARED_DISK = [
    '--cfg-options',
    'val_evaluator.collect_device=gpu',
    'test_evaluator.collect_device=gpu',
]


def test_training(start_nodes, two_processes, jittered_digits):
    first, second = start_nodes('dist_train.sh', jittered_digits, 1, *NO_SHARED_DISK)
    first.succeed()
    second.succeed()
    assert_same_training(first.checkpoint(), two_processes.checkpoint())
    assert not [*second.work_dir.glob('*.pth')]


def test_evaluation(start_nodes, evaluated, tiny_digits, trained):
    checkpoint = trained / 'epoch_12.pth'
    first, second = start_nodes('dist_test.sh', tiny_digits, checkpoint, 1, *NO_SHARED_DISK)
    first.succeed()
    second.succeed()
    assert_same_metrics(first.metrics(), evaluated[0])
