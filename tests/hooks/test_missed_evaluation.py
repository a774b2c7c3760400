"""A run that was killed before its evaluation makes up for it when it resumes."""

import json
from pathlib import Path

import pytest
import torch
from mmengine.hooks import Hook

from mmkd.hooks.missed_evaluation import FILE

HOOKS = [{'type': 'mmkd.EpochSeedHook'}, {'type': 'mmkd.MissedEvaluationHook'}]
SCORES = [{'score': 0.1 * i} for i in range(1, 9)]
BY_ITERATION = {'train_cfg': {'by_epoch': False, 'max_iters': 12, 'val_interval': 4}}


def run_options(by_epoch=True, **options):
    hook = {'type': 'mmkd.AtomicCheckpointHook', 'interval': 1 if by_epoch else 4}
    hook |= {'by_epoch': by_epoch, 'save_best': 'score', 'rule': 'greater'}
    return {'default_hooks': {'checkpoint': hook}, 'custom_hooks': HOOKS, **options}


@pytest.fixture(autouse=True)
def no_sleep(monkeypatch):
    """A loop without epochs sleeps when its data start again."""
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)


class Evaluations(Hook):
    """Notes (epoch, iteration) of each evaluation; stops the run at one of its stages."""

    priority = 'VERY_HIGH'

    def __init__(self, stop_at=None, number=None):
        self.stop_at, self.number = stop_at, number
        self.started, self.finished = [], []

    def before_val(self, runner):
        self.started.append((runner.epoch, runner.iter))
        self._stop('before_val')

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        self._stop('after_train_iter')

    def after_val_epoch(self, runner, metrics=None):
        self._stop('after_val_epoch')

    def after_val(self, runner):
        self.finished.append((runner.epoch, runner.iter))

    def _stop(self, stage):
        if (stage, len(self.started)) == (self.stop_at, self.number):
            raise KeyboardInterrupt


def train(toy_runner, name, scores=SCORES, resume=False, stop_at=None, number=None, **options):
    runner = toy_runner(name, scores=scores, resume=resume, **options)
    noted = Evaluations(stop_at, number)
    runner.register_hook(noted)
    if stop_at is None:
        runner.train()
    else:
        with pytest.raises(KeyboardInterrupt):
            runner.train()
    return runner, noted


@pytest.mark.parametrize('stage', ['before_val', 'after_val_epoch'])
@pytest.mark.parametrize('number', [1, 3])
@pytest.mark.parametrize(
    'options', [run_options(), run_options(by_epoch=False), run_options(False, **BY_ITERATION)]
)
def test_the_missing_evaluation_comes_first(toy_runner, tmp_path, stage, number, options):
    whole, everything = train(toy_runner, 'whole', **options)
    train(toy_runner, 'cut', stop_at=stage, number=number, **options)
    resumed, rest = train(toy_runner, 'cut', SCORES[number - 1 :], True, **options)
    assert rest.finished == everything.finished[number - 1 :]
    assert resumed.message_hub.get_info('best_score') == whole.message_hub.get_info('best_score')
    names = [{path.name for path in (tmp_path / run).glob('*.pth')} for run in ('whole', 'cut')]
    assert names[0] == names[1]
    weights = [runner.model.state_dict()['linear.weight'] for runner in (whole, resumed)]
    assert torch.equal(*weights)
    assert json.loads((tmp_path / 'cut' / FILE).read_text()) == [4, 8, 12]


@pytest.mark.parametrize(
    'options', [run_options(), run_options(by_epoch=False), run_options(False, **BY_ITERATION)]
)
def test_its_result_outlives_another_kill(toy_runner, tmp_path, options):
    scores = [{'score': score} for score in (0.1, 0.5, 0.3)]
    whole, _ = train(toy_runner, 'whole', scores, **options)
    train(toy_runner, 'cut', scores, stop_at='before_val', number=2, **options)
    stop = {'stop_at': 'after_train_iter', 'number': 1}
    train(toy_runner, 'cut', scores[1:], True, **stop, **options)
    resumed, rest = train(toy_runner, 'cut', scores[2:], True, **options)
    assert len(rest.finished) == 1
    assert resumed.message_hub.get_info('best_score') == 0.5
    names = [{path.name for path in (tmp_path / run).glob('*.pth')} for run in ('whole', 'cut')]
    assert names[0] == names[1]
    paths = [run.message_hub.get_info('best_ckpt') for run in (whole, resumed)]
    assert Path(paths[0]).name == Path(paths[1]).name


@pytest.mark.parametrize(
    'options', [run_options(), run_options(by_epoch=False), run_options(False, **BY_ITERATION)]
)
def test_a_finished_run_does_nothing_but_say_so(toy_runner, tmp_path, monkeypatch, options):
    train(toy_runner, 'run', **options)
    before = {path: path.stat().st_mtime_ns for path in (tmp_path / 'run').glob('*.pth')}
    runner = toy_runner('run', scores=SCORES, resume=True, **options)
    said = []
    monkeypatch.setattr(runner.logger, 'info', said.append)
    noted = Evaluations()
    runner.register_hook(noted)
    runner.train()
    assert 'The run has finished its 12 iterations: nothing is left to train' in said
    assert noted.started == []
    assert before == {path: path.stat().st_mtime_ns for path in (tmp_path / 'run').glob('*.pth')}


def test_an_evaluation_that_is_not_due_is_not_missing(toy_runner):
    options = run_options(train_cfg={'by_epoch': True, 'max_epochs': 3, 'val_interval': 2})
    train(toy_runner, 'run', stop_at='before_val', number=2, **options)
    for file_of, expected in ((2, [(3, 12)]), (1, [(2, 8), (3, 12)])):
        runner = toy_runner('other', scores=SCORES, resume=True, **options)
        runner._load_from = str(runner.work_dir.replace('other', f'run/epoch_{file_of}.pth'))
        noted = Evaluations()
        runner.register_hook(noted)
        runner.train()
        assert noted.finished == expected


def test_a_new_run_in_the_folder_starts_a_new_list(toy_runner, tmp_path):
    train(toy_runner, 'run', **run_options())
    train(toy_runner, 'run', stop_at='before_val', number=2, **run_options())
    assert json.loads((tmp_path / 'run' / FILE).read_text()) == [4]


@pytest.mark.parametrize('content', ['', '{', '{"a": 1}', 'null', '["4", 1.5]'])
def test_a_broken_list_is_an_empty_one(toy_runner, tmp_path, content):
    train(toy_runner, 'run', **run_options())
    (tmp_path / 'run' / FILE).write_text(content)
    _, noted = train(toy_runner, 'run', resume=True, **run_options())
    assert noted.finished == [(3, 12)]
