"""When one process of a run fails, all of them end, and the script says so."""

import pytest
import torch
from launching import processes_naming

pytestmark = pytest.mark.slow

# Two epochs of two iterations on two processes, each with a process that loads its images.
FAULTY = """
_base_ = {base!r}
custom_imports = dict(imports=['mmkd.registry', 'faults'])
custom_hooks = [*_base_.custom_hooks, dict(type='FaultHook', fault={fault!r}, iteration=4)]
train_dataloader = dict(num_workers=1)
"""
# NaN reaches both processes at once, by the gradients; either may be the first to say so.
FAULTS = {
    'raise_error': 'train.py: error: the disk of this process broke',
    'kill': 'Signal 9 (SIGKILL)',
    'spoil_teacher': 'train.py: error: ',
}


@pytest.fixture
def faulty(tiny_digits, tmp_path):
    """Function: a config with which the second process fails in the last iteration."""

    def write(fault):
        config = tmp_path / f'{fault}.py'
        config.write_text(FAULTY.format(base=str(tiny_digits), fault=fault))
        return config

    return write


@pytest.mark.parametrize('fault', FAULTS)
def test_the_run_ends_with_the_error(start, faulty, fault):
    run = start('dist_train.sh', faulty(fault), 2)
    status, stderr = run.wait()
    assert status != 0
    assert FAULTS[fault] in stderr
    assert run.leaves_nobody()
    # Only what was saved before, though the first process had all it needs to save again.
    assert [path.name for path in run.work_dir.glob('*.pth')] == ['epoch_1.pth']
    assert all(torch.isfinite(x).all() for x in run.checkpoint(1)['state_dict'].values())


def test_a_failing_node_ends_the_other(start_nodes, faulty):
    runs = start_nodes('dist_train.sh', faulty('raise_error'), 1)
    (first, _), (second, stderr) = [run.wait() for run in runs]
    assert first != 0
    assert second != 0
    assert FAULTS['raise_error'] in stderr
    assert all(run.leaves_nobody() for run in runs)


def test_processes_left_behind_would_be_found(start, tiny_digits):
    run = start('dist_train.sh', tiny_digits, 2)
    assert processes_naming(str(run.folder))
    run.process.terminate()
    run.wait()
    assert run.leaves_nobody()
