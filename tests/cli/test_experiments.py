"""Runs side by side: what is kept, what is trained, how many at a time, and what fails."""

import os
import shutil
import subprocess
import sys
from types import SimpleNamespace

import pytest
from mmengine.config import Config

from mmkd.cli import experiments
from mmkd.cli.experiments import checkpoint_of, finished, train_all, work_dir_of, write_config

# In place of the training tool: notes its start and end, and leaves behind what training does.
STAND_IN = """
import json, os, pathlib, runpy, sys, time

config = pathlib.Path(sys.argv[1])
settings = runpy.run_path(str(config))
work_dir = pathlib.Path(settings['work_dir'])
journal = config.parent / 'journal.txt'


def note(event):
    with journal.open('a') as file:
        file.write(f'{event} {config.stem}\\n')


note('start')
patience = time.monotonic() + 60
while journal.read_text().count('start') < settings['together'] and time.monotonic() < patience:
    time.sleep(0.01)
print('mmengine - INFO - Epoch(train) [1][1/1]  loss: 1.0')
print('mmengine - INFO - Epoch(val) [1][1/1]  accuracy/top1: 50.0')
print('threads', os.environ['OMP_NUM_THREADS'], os.environ['OMP_WAIT_POLICY'])
if settings['fails']:
    note('end')
    sys.exit('first line' + 'x' * 4000 + 'CUDA out of memory')
epochs = settings['train_cfg']['max_epochs']
scalars = work_dir / '20260101_000000/vis_data/scalars.json'
scalars.parent.mkdir(parents=True, exist_ok=True)
rows = [{'loss': 1.0, 'time': 0.5, 'step': 2}]
if settings['evaluated']:
    rows.append({'accuracy/top1': settings['top1'], 'step': settings['evaluated']})
scalars.write_text(''.join(json.dumps(row) + '\\n' for row in rows))
(work_dir / f'epoch_{epochs}.pth').write_bytes(b'\\x80weights')
(work_dir / 'last_checkpoint').write_text(str(work_dir / f'epoch_{epochs}.pth'))
note('end')
"""


def settings(**changes):
    fields = dict(train_cfg=dict(max_epochs=2), top1=50.0, together=1, fails=False)
    fields['evaluated'] = changes.get('train_cfg', fields['train_cfg'])['max_epochs']
    return Config({**fields, **changes})


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Folder of runs, which are trained by the stand-in."""
    stand_in = tmp_path / 'stand_in.py'
    stand_in.write_text(STAND_IN)

    def popen(command, **options):
        assert command[:-1] == [sys.executable, '-m', 'mmkd.cli.train']
        return subprocess.Popen([sys.executable, str(stand_in), command[-1]], **options)

    monkeypatch.setattr(
        experiments,
        'subprocess',
        SimpleNamespace(Popen=popen, PIPE=subprocess.PIPE, STDOUT=subprocess.STDOUT),
    )
    return tmp_path / 'runs'


def journal(folder):
    """(event, run) in the order of time, and forget them."""
    path = folder / 'journal.txt'
    events = [tuple(line.split()) for line in path.read_text().splitlines()]
    path.unlink()
    return events


def started(folder):
    return sorted(name for event, name in journal(folder) if event == 'start')


def most_at_a_time(events):
    running, most = 0, 0
    for event, _ in events:
        running += 1 if event == 'start' else -1
        most = max(most, running)
    return most


def test_config_of_a_run_stands_beside_its_work_directory(folder):
    path = write_config(settings(), folder / 'kd.seed1', seed=1)
    assert path == folder / 'kd.seed1.py'
    assert work_dir_of(path) == folder / 'kd.seed1'
    assert work_dir_of(path).is_dir()
    written = Config.fromfile(path)
    assert written.work_dir == str(folder / 'kd.seed1')
    assert written.randomness == dict(seed=1)
    assert written.train_cfg == dict(max_epochs=2)


def test_training_leaves_a_finished_run(folder):
    config = write_config(settings(), folder / 'kd', seed=0)
    assert not finished(config)
    train_all({'kd': config})
    assert finished(config)
    assert checkpoint_of(config) == folder / 'kd/epoch_2.pth'


def test_finished_runs_are_kept_and_the_rest_is_trained(folder):
    configs = {name: write_config(settings(), folder / name, seed=0) for name in 'abc'}
    train_all({'a': configs['a']})
    assert started(folder) == ['a']
    train_all(configs)
    assert started(folder) == ['b', 'c']
    train_all(configs)
    assert not (folder / 'journal.txt').exists()


def test_the_same_config_again_changes_nothing(folder):
    config = write_config(settings(), folder / 'kd', seed=0)
    train_all({'kd': config})
    assert finished(write_config(settings(), folder / 'kd', seed=0))


@pytest.mark.parametrize(
    ('changes', 'seed'), [(dict(top1=60.0), 0), (dict(train_cfg=dict(max_epochs=1)), 0), ({}, 1)]
)
def test_the_result_of_another_experiment_is_forgotten(folder, changes, seed):
    train_all({'kd': write_config(settings(), folder / 'kd', seed=0)})
    config = write_config(settings(**changes), folder / 'kd', seed)
    assert not finished(config)
    assert not (folder / 'kd/last_checkpoint').exists()
    train_all({'kd': config})
    assert finished(config)


def test_a_run_that_stopped_early_is_not_finished(folder):
    config = write_config(settings(train_cfg=dict(max_epochs=12)), folder / 'kd', seed=0)
    train_all({'kd': config})
    for epoch in (1, 2, 11, 112):
        (folder / 'kd/last_checkpoint').write_text(str(folder / f'kd/epoch_{epoch}.pth'))
        assert not finished(config)


@pytest.mark.parametrize('evaluated', [0, 1])
def test_a_run_without_its_last_evaluation_is_not_finished(folder, evaluated):
    config = write_config(settings(evaluated=evaluated), folder / 'kd', seed=0)
    train_all({'kd': config})
    assert not finished(config)


def test_a_copied_run_is_finished_with_its_own_checkpoint(folder):
    config = write_config(settings(), folder / 'kd', seed=0)
    train_all({'kd': config})
    shutil.copytree(folder, folder.with_name('copied'))
    copied = folder.with_name('copied') / 'kd.py'
    assert finished(copied)
    assert checkpoint_of(copied) == folder.with_name('copied') / 'kd/epoch_2.pth'


@pytest.mark.parametrize(('jobs', 'together'), [(1, 1), (2, 2), (None, 3), (9, 3)])
def test_jobs_bound_the_runs_at_a_time(folder, jobs, together):
    # Each run waits until as many as may run at a time have started.
    configs = {
        name: write_config(settings(together=together), folder / name, seed=0) for name in 'abc'
    }
    train_all(configs, jobs)
    events = journal(folder)
    assert most_at_a_time(events) == together
    assert len(events) == 6
    threads = max(1, os.cpu_count() // together)
    for name in configs:
        assert f'threads {threads} PASSIVE' in (folder / name / 'log.txt').read_text()


def test_nothing_to_train(folder):
    train_all({})
    assert not folder.exists()


@pytest.mark.parametrize('quiet', [False, True])
def test_progress_is_shown_under_the_runs_name(folder, capsys, quiet):
    train_all({'KD, seed 0': write_config(settings(), folder / 'kd', seed=0)}, quiet=quiet)
    lines = capsys.readouterr().out.splitlines()
    evaluation = '[KD, seed 0] Epoch(val) [1][1/1]  accuracy/top1: 50.0'
    step = '[KD, seed 0] Epoch(train) [1][1/1]  loss: 1.0'
    assert lines == ([evaluation] if quiet else [step, evaluation])
    assert 'Epoch(train)' in (folder / 'kd/log.txt').read_text()


@pytest.mark.parametrize('jobs', [1, 3])
def test_a_failing_run_stops_with_the_end_of_its_output(folder, jobs):
    configs = {
        name: write_config(settings(fails=name == 'b'), folder / name, seed=0) for name in 'abc'
    }
    with pytest.raises(SystemExit) as stop:
        train_all(configs, jobs)
    message = str(stop.value)
    assert message.startswith(f'b failed, see {folder / "b/log.txt"}:\n')
    assert message.rstrip().endswith('CUDA out of memory')
    assert 'first line' not in message
    assert 'first line' in (folder / 'b/log.txt').read_text()
    assert [finished(config) for config in configs.values()] == [True, False, True]
    with pytest.raises(SystemExit):
        train_all(configs, jobs)
    assert started(folder) == ['a', 'b', 'b', 'c']  # the others are kept
