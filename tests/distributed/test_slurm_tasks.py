"""Two tasks under a Slurm that is only imitated do what two processes of torchrun do."""

import os

import pytest
from launching import assert_same_metrics, assert_same_training

pytestmark = pytest.mark.slow

# As srun: it starts the tasks, ends with the first bad exit, and ends the others with it.
SRUN = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do
    [[ $1 == --ntasks=* ]] && export SLURM_NTASKS=${1#*=}
    shift
done
export SLURM_NODELIST=localhost
for ((task = 0; task < SLURM_NTASKS; task++)); do
    SLURM_PROCID=$task SLURM_LOCALID=$task "$@" &
done
for ((task = 0; task < SLURM_NTASKS; task++)); do
    wait -n || { status=$?; kill $(jobs -p); exit $status; }
done
"""


@pytest.fixture
def slurm(tmp_path, free_port):
    """The environment of a job of two CPU tasks, with the imitation on the path."""
    program = tmp_path / 'srun'
    program.write_text(SRUN)
    program.chmod(0o755)
    return {
        'GPUS': '2',
        'GPUS_PER_NODE': '0',
        'PROCESSES_PER_NODE': '2',
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(free_port),
        'PATH': f'{tmp_path}{os.pathsep}{os.environ["PATH"]}',
    }


def test_training(start, slurm, two_processes, jittered_digits):
    run = start('slurm_train.sh', 'partition', 'job', jittered_digits, **slurm)
    run.succeed()
    assert_same_training(run.checkpoint(), two_processes.checkpoint())


def test_evaluation(start, slurm, evaluated, tiny_digits, trained):
    checkpoint = trained / 'epoch_12.pth'
    run = start('slurm_test.sh', 'partition', 'job', tiny_digits, checkpoint, **slurm)
    run.succeed()
    assert_same_metrics(run.metrics(), evaluated[0])


def test_a_failing_task_ends_the_job(start, slurm, tiny_digits):
    options = ['--cfg-options', 'model.teacher.checkpoint=nowhere.pth']
    run = start('slurm_train.sh', 'partition', 'job', tiny_digits, *options, **slurm)
    status, stderr = run.wait()
    assert status == 2
    assert 'no such file: nowhere.pth' in stderr
    assert run.leaves_nobody()
