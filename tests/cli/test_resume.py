"""A run killed in mid-epoch and resumed ends with the very numbers of one left alone."""

import os
import signal
import subprocess
import sys

import pytest
import torch

from mmkd.cli import train
from mmkd.storage.checkpoint import read_checkpoint

# Color jitter draws from NumPy's generator, in the main process or in the workers.
JITTERED = """
_base_ = {base!r}
train_dataloader = dict(
    num_workers={num_workers},
    worker_init_fn=dict(type='mmkd_epoch_worker_init'),
    dataset=dict(
        pipeline=[
            dict(type='LoadImageFromFile'),
            dict(type='LoadAnnotations', with_bbox=True),
            dict(type='PhotoMetricDistortion'),
            dict(type='PackDetInputs'),
        ]
    ),
)
train_cfg = dict(val_interval=10)
"""

KILLED = """
_base_ = {base!r}
custom_imports = dict(imports=['mmkd.registry', 'kill_hook'])
custom_hooks = [*_base_.custom_hooks, dict(type='mmengine.KillHook', iteration=6)]
"""

KILL_HOOK = """
import os
import signal

from mmengine.hooks import Hook
from mmengine.registry import HOOKS


@HOOKS.register_module()
class KillHook(Hook):
    def __init__(self, iteration):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            os.kill(os.getpid(), signal.SIGKILL)
"""


def train_and_die(config, work_dir, repo):
    folder = config.parent
    (folder / 'kill_hook.py').write_text(KILL_HOOK)
    killed = folder / 'killed.py'
    killed.write_text(KILLED.format(base=str(config)))
    environment = os.environ | {'PYTHONPATH': os.pathsep.join([str(repo), str(folder)])}
    return subprocess.run(
        [sys.executable, str(repo / 'tools/train.py'), str(killed), '--work-dir', str(work_dir)],
        env=environment,
        capture_output=True,
        text=True,
        timeout=300,
    )


def assert_equal(one, other, path=''):
    """Compare nested containers; tensors bit by bit."""
    if isinstance(one, dict):
        assert one.keys() == other.keys(), path
        for key in one:
            assert_equal(one[key], other[key], f'{path}.{key}')
    elif isinstance(one, list | tuple):
        assert len(one) == len(other), path
        for index, pair in enumerate(zip(one, other, strict=True)):
            assert_equal(*pair, f'{path}[{index}]')
    elif isinstance(one, torch.Tensor):
        assert torch.equal(one, other), path
    else:
        assert one == other, path


@pytest.mark.slow
@pytest.mark.parametrize('num_workers', [0, 2])
def test_killed_and_resumed_equals_uninterrupted(tiny_digits, tmp_path, repo, num_workers):
    config = tmp_path / 'jittered.py'
    config.write_text(JITTERED.format(base=str(tiny_digits), num_workers=num_workers))
    whole, parts = tmp_path / 'whole', tmp_path / 'parts'
    train.main([str(config), '--work-dir', str(whole)])

    process = train_and_die(config, parts, repo)
    assert process.returncode == -signal.SIGKILL, process.stderr
    assert [path.name for path in parts.glob('*.pth')] == ['epoch_1.pth']
    assert (parts / 'last_checkpoint').read_text() == str(parts / 'epoch_1.pth')
    train.main([str(config), '--work-dir', str(parts), '--resume'])

    expected, got = (read_checkpoint(str(run / 'epoch_2.pth')) for run in (whole, parts))
    assert got['meta']['iter'] == expected['meta']['iter'] == 8
    assert_equal(got['state_dict'], expected['state_dict'])
    assert_equal(got['optimizer'], expected['optimizer'])


def test_seed_decides_the_result(tiny_digits, tmp_path):
    """The comparison above can fail: another seed gives other parameters."""
    weights = []
    for seed in (0, 1):
        work_dir = tmp_path / str(seed)
        train.main(
            [str(tiny_digits), '--work-dir', str(work_dir)]
            + ['--cfg-options', 'train_cfg.max_epochs=1', f'randomness.seed={seed}']
        )
        weights.append(read_checkpoint(str(work_dir / 'epoch_1.pth'))['state_dict'])
    with pytest.raises(AssertionError):
        assert_equal(*weights)


@pytest.mark.parametrize(
    ('name', 'problem'),
    [
        ('missing.pth', 'which does not exist'),
        ('empty.pth', 'which is empty or cut short'),
        ('run', 'a work directory; write --work-dir '),
        ('folder', 'which is empty or cut short'),
    ],
)
def test_a_file_that_cannot_be_resumed_from(tmp_path, capsys, name, problem):
    (tmp_path / 'run').mkdir()
    (tmp_path / 'folder').mkdir()
    for file in ('empty.pth', 'run/last_checkpoint'):
        (tmp_path / file).touch()
    with pytest.raises(SystemExit) as error:
        train.main(['config.py', '--resume', str(tmp_path / name)])
    assert error.value.code == 2
    message = capsys.readouterr().err
    assert f'--resume: expected a checkpoint, got {tmp_path / name}, {problem}' in message


def test_nothing_to_resume_starts_anew(tiny_digits, tmp_path):
    train.main(
        [str(tiny_digits), '--work-dir', str(tmp_path), '--resume']
        + ['--cfg-options', 'train_cfg.max_epochs=1']
    )
    assert read_checkpoint(str(tmp_path / 'epoch_1.pth'))['meta']['iter'] == 4
