"""The shell scripts pass on what they are given; torchrun itself is tested in tests/distributed."""

import os
import subprocess
import sys

import pytest

from mmkd.storage.checkpoint import read_checkpoint

SCRIPTS = (
    'dist_run.sh',
    'dist_train.sh',
    'dist_test.sh',
    'slurm_run.sh',
    'slurm_train.sh',
    'slurm_test.sh',
)
# Prints one argument a line, so that quoting shows.
PRINT = '#!/usr/bin/env bash\nprintf "%s\\n" "$@"\n'
# One task of one, as Slurm starts it on its first node.
ONE_TASK = """#!/usr/bin/env bash
while [[ $1 == --* ]]; do shift; done
export SLURM_PROCID=0 SLURM_NTASKS=1 SLURM_LOCALID=0 SLURM_NODELIST=localhost
exec "$@"
"""
SLURM_SETTINGS = {'GPUS', 'GPUS_PER_NODE', 'CPUS_PER_TASK', 'PROCESSES_PER_NODE', 'SRUN_ARGS'}
LAUNCH_SETTINGS = {'PORT', 'NNODES', 'NODE_RANK', 'MASTER_ADDR', 'PYTHON'}


@pytest.fixture
def shell(repo, tmp_path):
    """Function: run a script with programs of the given names replaced, and its settings."""
    clean = {k: v for k, v in os.environ.items() if k not in SLURM_SETTINGS | LAUNCH_SETTINGS}

    def run(script, *arguments, programs=None, **settings):
        folder = tmp_path / 'bin'
        folder.mkdir(exist_ok=True)
        for name, content in (programs or {}).items():
            (folder / name).write_text(content)
            (folder / name).chmod(0o755)
        path = f'{folder}{os.pathsep}{clean["PATH"]}'
        return subprocess.run(
            ['bash', str(repo / 'tools' / script), *map(str, arguments)],
            env=clean | {'PATH': path} | settings,
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=300,
        )

    return run


@pytest.mark.parametrize('script', SCRIPTS)
def test_syntax_and_permissions(repo, script):
    path = repo / 'tools' / script
    subprocess.run(['bash', '-n', str(path)], check=True)
    assert os.access(path, os.X_OK)


def test_every_script_is_tested(repo):
    assert {path.name for path in (repo / 'tools').glob('*.sh')} == set(SCRIPTS)


@pytest.mark.parametrize(
    ('script', 'needed'),
    [('dist_train.sh', 2), ('dist_test.sh', 3), ('slurm_train.sh', 3), ('slurm_test.sh', 4)],
)
def test_usage_error(shell, script, needed):
    for count in range(needed):
        run = shell(script, *['x'] * count)
        assert run.returncode == 2
        assert run.stderr.startswith('usage: ')
        assert script in run.stderr


def test_torchrun_is_asked_for_one_node(shell, repo):
    run = shell('dist_train.sh', 'a config.py', 2, '--amp', programs={'python': PRINT})
    assert run.stdout.splitlines() == [
        '-m',
        'torch.distributed.run',
        '--nnodes=1',
        '--node_rank=0',
        '--master_addr=127.0.0.1',
        '--master_port=29500',
        '--nproc_per_node=2',
        str(repo / 'tools/train.py'),
        'a config.py',
        '--amp',
        '--launcher',
        'pytorch',
    ]


SHOW_INTERFACES = '#!/usr/bin/env bash\necho "$GLOO_SOCKET_IFNAME $NCCL_SOCKET_IFNAME"\n'


@pytest.mark.parametrize(
    ('settings', 'interfaces'),
    [({}, 'lo lo'), ({'GLOO_SOCKET_IFNAME': 'eth0'}, 'eth0 lo'), ({'NNODES': '2'}, ' ')],
)
def test_one_machine_listens_to_itself_alone(shell, settings, interfaces):
    run = shell('dist_train.sh', 'c.py', 2, programs={'python': SHOW_INTERFACES}, **settings)
    assert run.stdout.strip('\n') == interfaces


def test_torchrun_is_asked_for_several_nodes(shell, repo):
    settings = {'NNODES': '3', 'NODE_RANK': '2', 'MASTER_ADDR': 'first', 'PORT': '12345'}
    run = shell('dist_test.sh', 'c.py', 'w.pth', 8, programs={'python': PRINT}, **settings)
    lines = run.stdout.splitlines()
    assert lines[2:7] == [
        '--nnodes=3',
        '--node_rank=2',
        '--master_addr=first',
        '--master_port=12345',
        '--nproc_per_node=8',
    ]
    assert lines[7:] == [str(repo / 'tools/test.py'), 'c.py', 'w.pth', '--launcher', 'pytorch']


def test_srun_defaults(shell, repo):
    run = shell('slurm_train.sh', 'gpu', 'a job', 'c.py', '--resume', programs={'srun': PRINT})
    assert run.stdout.splitlines() == [
        '--partition=gpu',
        '--job-name=a job',
        '--gres=gpu:8',
        '--ntasks-per-node=8',
        '--ntasks=8',
        '--cpus-per-task=5',
        '--kill-on-bad-exit=1',
        'python',
        '-u',
        str(repo / 'tools/train.py'),
        'c.py',
        '--resume',
        '--launcher',
        'slurm',
    ]


def test_srun_settings(shell, repo):
    settings = {'GPUS': '16', 'GPUS_PER_NODE': '4', 'SRUN_ARGS': '--time=1:00 --qos=high'}
    run = shell(
        'slurm_test.sh',
        'p',
        'j',
        'c.py',
        'w.pth',
        programs={'srun': PRINT},
        PYTHON='py',
        **settings,
    )
    lines = run.stdout.splitlines()
    assert lines[2:5] == ['--gres=gpu:4', '--ntasks-per-node=4', '--ntasks=16']
    assert lines[7:10] == ['--time=1:00', '--qos=high', 'py']
    assert lines[11:] == [str(repo / 'tools/test.py'), 'c.py', 'w.pth', '--launcher', 'slurm']


def test_srun_without_gpus(shell):
    settings = {'GPUS': '6', 'GPUS_PER_NODE': '0', 'PROCESSES_PER_NODE': '3'}
    run = shell('slurm_train.sh', 'cpu', 'job', 'c.py', programs={'srun': PRINT}, **settings)
    lines = run.stdout.splitlines()
    assert lines[2:4] == ['--ntasks-per-node=3', '--ntasks=6']
    assert not any(line.startswith('--gres') for line in lines)


@pytest.mark.slow
def test_training_under_slurm(shell, tiny_digits, tmp_path, free_port):
    options = ['--work-dir', 'work', '--cfg-options', 'train_cfg.max_epochs=1']
    settings = {
        'GPUS': '1',
        'GPUS_PER_NODE': '0',
        'PYTHON': sys.executable,
        'MASTER_ADDR': '127.0.0.1',
        'MASTER_PORT': str(free_port),
        'CUDA_VISIBLE_DEVICES': '',
    }
    programs = {'srun': ONE_TASK}
    run = shell('slurm_train.sh', 'p', 'j', tiny_digits, *options, programs=programs, **settings)
    assert run.returncode == 0, run.stderr
    assert read_checkpoint(str(tmp_path / 'work/epoch_1.pth'))['meta']['iter'] == 4
    assert 'Distributed launcher: slurm' in next(tmp_path.glob('work/*/*.log')).read_text()
