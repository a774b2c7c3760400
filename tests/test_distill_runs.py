"""Several runs in one call: seeds, methods, the student alone; kept, continued, compared."""

import importlib.util
import json

import numpy as np
import pytest
import torch
from tiny_pairs import digit_arguments

import mmkd
from mmkd.api import training
from mmkd.api.records import HistoryHook
from mmkd.models.building import build_model
from mmkd.storage.checkpoint import read_state_dict


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """Arguments for classifiers of embedded digits."""
    return digit_arguments(tmp_path_factory.mktemp('digits'), epochs=1)


@pytest.fixture(scope='module')
def compared(digits, tmp_path_factory):
    """Arguments and result of a comparison: kd and the student alone, two seeds."""
    folder = tmp_path_factory.mktemp('compared')
    arguments = {**digits, 'method': 'kd', 'seeds': (0, 1), 'baseline': True, 'work_dir': folder}
    return arguments, mmkd.distill(**arguments)


def never(*_, **__):
    raise AssertionError('a finished run is not trained again')


def test_comparison_trains_each_method_with_each_seed(compared):
    _, result = compared
    assert [(run.method, run.seed) for run in result.runs] == [
        ('student', 0),
        ('kd', 0),
        ('student', 1),
        ('kd', 1),
    ]
    assert (result.method, result.seed) == ('kd', 0)
    assert result.checkpoint == result.runs[1].checkpoint
    assert [run.config.randomness.seed for run in result.runs] == [0, 0, 1, 1]
    names = [run.config_path.stem for run in result.runs]
    assert names[:2] == [
        'student_resnet8_digits_1e_seed0',
        'kd_resnet14_digits_resnet8_digits_1e_seed0',
    ]
    alone, distilled = result.runs[:2]
    assert 'architecture' not in alone.config.model
    for key in ('train_dataloader', 'param_scheduler', 'train_cfg', 'optim_wrapper'):
        assert alone.config[key] == distilled.config[key]
    lines = result.table.splitlines()
    assert lines[0].endswith(' | gain |')
    assert [line.split(' | ')[0] for line in lines[2:]] == ['| teacher', '| student', '| kd']
    assert lines[4].count('[') == 1
    assert len(result.findings) == 1
    assert result.findings[0].startswith(('kd: +', 'kd is behind the student alone by'))


def test_student_alone_is_a_plain_checkpoint(compared):
    _, result = compared
    alone = result.runs[0]
    assert alone.checkpoint.name == 'epoch_1.pth'
    model = build_model({'cfg_path': 'mmkd::digits/resnet8_digits.py'})
    assert read_state_dict(str(alone.checkpoint)).keys() == model.state_dict().keys()


def test_finished_runs_are_returned_without_training(compared, monkeypatch, capsys):
    arguments, result = compared
    monkeypatch.setattr(training, 'build_runner', never)
    again = mmkd.distill(**arguments)
    assert capsys.readouterr().out.count('is trained already; its results are kept') == 4
    assert again.table == result.table
    assert again.metrics == result.metrics
    assert again.history == result.history
    one = mmkd.distill(**{**arguments, 'seeds': 1, 'baseline': False, 'resume': True})
    assert one.checkpoint == result.runs[3].checkpoint
    assert one.findings == []
    assert [line.split(' | ')[0] for line in one.table.splitlines()[2:]] == ['| kd', '| teacher']


def test_the_report_compares_the_runs_as_the_table_does(compared):
    _, result = compared
    assert result.report == result.runs[1].work_dir / 'report.html'
    facts = json.loads(result.report.with_suffix('.json').read_text())
    groups = {group['name']: group for group in facts['groups']}
    assert [*groups] == ['teacher', 'student', 'kd']
    assert groups['kd']['gain']['text'] in result.table
    for run in result.runs:
        (own,) = [each for each in groups[run.method]['runs'] if each['seed'] == run.seed]
        logged = run.metrics['student']['accuracy/top1']
        assert own['metrics'] == {'top-1': pytest.approx(logged)}
        assert (run.work_dir / 'predictions.npz').is_file()
    # The checkpoints score as the runs did: the mean over 40 images and two seeds.
    rows = facts['classes']
    assert sum(row['objects'] for row in rows) == 40
    for name in ('student', 'kd'):
        right = sum(row['objects'] * (row['values'][name] or 0) for row in rows) / 40
        assert right == pytest.approx(groups[name]['metrics']['top-1']['mean'], abs=1e-4)


@pytest.mark.slow
def test_a_run_of_several_equals_the_run_alone(compared, tmp_path):
    arguments, result = compared
    one = mmkd.distill(**{**arguments, 'seeds': 1, 'baseline': False, 'work_dir': tmp_path})
    states = [read_state_dict(str(run.checkpoint)) for run in (one, result.runs[3])]
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    (log,) = one.work_dir.glob('*/vis_data/scalars.json')
    assert 'accuracy/top1' in log.read_text()


def test_interrupted_run_goes_on_when_asked(digits, tmp_path, monkeypatch):
    options = {**digits['options'], 'default_hooks.checkpoint.interval': 1}
    arguments = {**digits, 'epochs': 2, 'seeds': 0, 'options': options, 'work_dir': tmp_path}
    arguments['tensorboard'] = True
    with monkeypatch.context() as patch:
        after = HistoryHook.after_val_epoch

        def interrupted(self, runner, metrics=None):
            after(self, runner, metrics)
            raise KeyboardInterrupt

        patch.setattr(HistoryHook, 'after_val_epoch', interrupted)
        with pytest.raises(KeyboardInterrupt):
            mmkd.distill(**arguments)
    message = r'holds an unfinished run \(epoch_1\.pth\); continue it with resume=True'
    with pytest.raises(FileExistsError, match=message):
        mmkd.distill(**arguments)
    (folder,) = (path for path in tmp_path.iterdir() if path.is_dir())
    assert not (folder / 'student.pth').exists()
    result = mmkd.distill(**arguments, resume=True)
    assert [each['epoch'] for each in result.history] == [1, 2]
    assert result.metrics['teacher']
    assert (folder / 'epoch_2.pth').is_file()
    assert [*folder.glob('*/vis_data/events.out.tfevents*')]
    record = json.loads((folder / 'results.json').read_text())
    assert record['checkpoint'] == 'student.pth'


def test_other_settings_keep_the_first_run(compared):
    arguments, result = compared
    before = result.checkpoint.read_bytes()
    with pytest.raises(FileExistsError, match=r'already there, .* choose another work_dir'):
        mmkd.distill(**arguments, method_options={'loss_weight': 3.0})
    assert result.checkpoint.read_bytes() == before


def test_a_run_of_other_settings_is_not_taken_for_this_one(compared):
    arguments, result = compared
    arguments = {**arguments, 'seeds': 0, 'baseline': False}
    text = result.config_path.read_text()
    message = 'holds a run of other settings'
    result.config_path.unlink()
    with pytest.raises(FileExistsError, match=message):
        mmkd.distill(**arguments, method_options={'loss_weight': 3.0})
    assert not result.config_path.exists()
    result.config_path.write_text(text)
    weights = arguments['teacher_checkpoint'].read_bytes()
    arguments['teacher_checkpoint'].write_bytes(weights + b'another')
    with pytest.raises(FileExistsError, match=message):
        mmkd.distill(**arguments)
    arguments['teacher_checkpoint'].write_bytes(weights)


def test_numbers_of_numpy(digits):
    plan = mmkd.plan(**{**digits, 'epochs': np.int64(2)}, batch_size=np.int32(4), seed=np.int64(1))
    assert plan == mmkd.plan(**{**digits, 'epochs': 2}, batch_size=4, seed=1)


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'seeds': ()}, r'seeds: expected whole numbers, .* got \(\)'),
        ({'seeds': -1}, r'seeds: expected a whole number from 0 .* got -1'),
        ({'seeds': 'ab'}, r'seeds: expected a whole number'),
        ({'seeds': (0, 1.5)}, r'seeds: expected a whole number'),
        ({'seeds': (True,)}, r'seeds: expected a whole number'),
        ({'seeds': 2**32}, r'seeds: expected a whole number'),
        ({'seeds': (1, 1)}, r'seeds: expected different seeds, got \[1, 1\]'),
        ({'seeds': 1, 'options': {'randomness.seed': 2}}, r'the seed in one place, got 1 and .*=2'),
        ({'method': []}, r'method: expected one or several different names, got \[\]'),
        ({'method': ['kd', 'kd']}, r'method: expected one or several different names'),
        ({'method': ['kd', 'kdd']}, r"method: expected one of .* got 'kdd'"),
        ({'batch_size': 0}, r'batch_size: expected a positive whole number, got 0'),
        ({'batch_size': '8'}, r"batch_size: expected a positive whole number, got '8'"),
        ({'epochs': True}, r'epochs: expected a positive whole number, got True'),
        (
            {'batch_size': 2, 'options': {'train_dataloader.batch_size': 3}},
            r'batch_size: .* one place',
        ),
        ({'options': {'work_dir': 'x'}}, r'options: work_dir: expected .* the argument work_dir'),
        ({'options': ['a=1']}, r'options: expected a dict'),
        ({'method_options': 'loss_weight=1'}, r'method_options: expected a dict'),
        ({'method': 5}, r'method: expected a name, got 5'),
        ({'data': ['x']}, r"data: expected a folder, .* got \['x'\]"),
        ({'work_dir': None}, r'work_dir: expected a path, got None'),
        ({'launcher': 'torch'}, r'launcher: expected one of'),
        ({'evaluate_teacher': 'no'}, r"evaluate_teacher: expected True or False, got 'no'"),
        ({'teacher_checkpoint': 'no.pth'}, r'teacher_checkpoint: .* got no\.pth \(no such file\)'),
        ({'teacher_checkpoint': '.'}, r'teacher_checkpoint: expected a file, got \. \(a folder\)'),
        ({'options': {'train_cfg.max_epoch': 3}}, r'train_cfg\.max_epoch'),
        ({'options': {'optim_wraper.type': 3}}, r'optim_wraper'),
    ],
)
def test_mistakes_end_before_anything_is_written(changes, message, digits, tmp_path):
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        mmkd.distill(**{**digits, 'work_dir': tmp_path, **changes})
    assert not [*tmp_path.iterdir()]


def test_missing_tensorboard_is_named(digits, tmp_path, monkeypatch):
    find = importlib.util.find_spec
    monkeypatch.setattr(
        'importlib.util.find_spec', lambda name, *_: None if name == 'tensorboard' else find(name)
    )
    with pytest.raises(ValueError, match=r'tensorboard: not installed; pip install tensorboard'):
        mmkd.plan(**digits, tensorboard=True, work_dir=tmp_path)
