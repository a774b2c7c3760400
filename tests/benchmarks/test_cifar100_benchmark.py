"""The comparison on CIFAR-100 from its first line to its tables, on eight images."""

import json
import sys

import pytest
import torch
from mmengine.config import Config

from mmkd.models.building import build_model

PAIR = 'resnet20_resnet8'


class WholeConfig:
    """Reads a config as it is, but that trains on a last batch that is not full."""

    @staticmethod
    def fromfile(path):
        cfg = Config.fromfile(path)
        if 'train_dataloader' in cfg:
            cfg.train_dataloader.drop_last = False
        return cfg


@pytest.fixture
def benchmark(script, tiny_images, tmp_path, monkeypatch):
    """Function: the script, run with some options on the eight images."""
    module = script('benchmarks/cifar100.py')
    monkeypatch.setattr(module, 'Config', WholeConfig)

    def start(*options, pair=PAIR):
        arguments = [tiny_images, '--pairs', pair, '--work-dir', tmp_path / 'out', *options]
        monkeypatch.setattr(sys, 'argv', ['cifar100.py', *map(str, arguments)])
        module.main()

    start.module = module
    return start


SHORT = ('--epochs', 1, '--images', 8, '--seeds')


def test_benchmark_writes_its_tables_and_keeps_what_is_trained(
    benchmark, trained_here, tmp_path, capsys
):
    options = [*SHORT, 5, '--methods', 'student', 'kd']
    benchmark(*options)
    assert trained_here == ['teacher', f'{PAIR} student 5', f'{PAIR} kd 5']
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert (results['epochs'], results['images'], results['seeds']) == (1, 8, [5])
    pair = results['pairs'][PAIR]
    assert [*pair['runs']] == [*pair['summary']] == ['teacher', 'student', 'kd']
    for (row,) in pair['runs'].values():
        assert 0 <= row['top-1'] <= row['top-5'] <= 100
        assert row['ms per step'] > 0
    tables = (tmp_path / 'out/results.md').read_text()
    assert tables.startswith(f'## {PAIR}\n\n| ')
    assert '| kd |' in tables
    assert tables in capsys.readouterr().out

    written = Config.fromfile(tmp_path / f'out/{PAIR}/kd-seed5.py')
    assert written.model.teacher.checkpoint == str(tmp_path / f'out/{PAIR}/teacher/epoch_1.pth')
    assert written.randomness == dict(seed=5)
    assert written.train_dataloader.dataset.num_samples == 8

    trained_here.clear()
    benchmark(*options)
    assert trained_here == []
    assert json.loads((tmp_path / 'out/results.json').read_text()) == results


def test_a_given_teacher_is_not_trained(benchmark, trained_here, repo, tmp_path):
    teacher = build_model({'cfg_path': str(repo / 'configs/cifar100/resnet20_cifar100.py')})
    torch.save({'state_dict': teacher.state_dict()}, tmp_path / 'teacher.pth')
    benchmark(*SHORT, 6, '--methods', 'kd', '--teacher', tmp_path / 'teacher.pth')
    assert trained_here == [f'{PAIR} kd 6']
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert [*results['pairs'][PAIR]['runs']] == ['kd']


def test_unknown_method_lists_those_of_the_pair(benchmark, trained_here):
    with pytest.raises(SystemExit) as stop:
        benchmark(*SHORT, 7, '--methods', 'student', 'xyz')
    message = str(stop.value)
    assert message.startswith(f"no config of 'xyz' for '{PAIR}'; there are: ")
    for method in benchmark.module.METHODS[1:]:
        assert f'{method}, ' in message or message.endswith(method)
    assert trained_here == []


def test_unknown_pair_lists_those_that_there_are(benchmark, trained_here):
    with pytest.raises(SystemExit) as stop:
        benchmark(*SHORT, 7, pair='resnet8_resnet20')
    message = str(stop.value)
    assert message.startswith("no pair 'resnet8_resnet20'; there are: ")
    assert {PAIR, 'resnet32x4_resnet8x4'} <= {*message.partition(': ')[2].split(', ')}
    assert trained_here == []


@pytest.fixture
def prepared(benchmark, tiny_images, monkeypatch):
    """Function: the config of a method, as published and as prepared with some options."""

    def prepare(method, *options):
        monkeypatch.setattr(sys, 'argv', ['cifar100.py', str(tiny_images), *options])
        args = benchmark.module.parse_args()
        source = benchmark.module.config_file(method, PAIR)
        return Config.fromfile(source), benchmark.module.prepare(source, args, args.epochs)

    return prepare


def test_published_schedule(prepared, tiny_images):
    for method in ('cckd', 'rcka'):
        published, cfg = prepared(method)
        for loader in (cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader):
            assert loader.dataset.root == str(tiny_images)
        assert cfg.train_cfg.max_epochs == published.train_cfg.max_epochs
        assert cfg.train_dataloader.batch_size == published.train_dataloader.batch_size
        assert cfg.param_scheduler == published.param_scheduler
        assert cfg.optim_wrapper == published.optim_wrapper


@pytest.mark.parametrize('method', ['cckd', 'rcka'])
def test_short_schedule_is_the_same_for_all(prepared, method):
    published, cfg = prepared(method, '--epochs', '16')
    assert published.optim_wrapper.optimizer.lr == 0.1
    assert cfg.optim_wrapper.optimizer.lr == 0.05
    assert cfg.train_cfg.max_epochs == 16
    assert 16 % cfg.train_cfg.val_interval == 0  # the last epoch is evaluated
    assert cfg.param_scheduler.T_max == cfg.param_scheduler.end == 16
    assert cfg.train_dataloader.batch_size == 64
    # One that draws whole batches was given the same size.
    assert cfg.train_dataloader.sampler.get('batch_size', 64) == 64
