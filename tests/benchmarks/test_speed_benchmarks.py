"""The benchmarks of speed run from their command line to their tables, at small sizes."""

import json
import re
import sys

import pytest
import torch


@pytest.fixture
def run(script, monkeypatch, capsys, tmp_path):
    """Function: what a script measured and printed, with names of its module replaced."""
    threads = torch.get_num_threads()

    def start(path, *options, **names):
        module = script(path)
        for name, value in names.items():
            monkeypatch.setattr(module, name, value)
        report = tmp_path / 'report.json'
        arguments = ['--threads', '1', '--repeats', '2', '--json', report, *options]
        monkeypatch.setattr(sys, 'argv', [path, *map(str, arguments)])
        module.main()
        return json.loads(report.read_text())['measured'], capsys.readouterr().out

    yield start
    torch.set_num_threads(threads)


def test_pcka_speed(run):
    measured, printed = run('benchmarks/pcka_speed.py', SIZES=((20, 30), (10, 15)), CHANNELS=6)
    seconds = measured['seconds']
    assert [*seconds] == ['20 x 30', '10 x 15', 'all']
    assert all(len(turns) == 2 for level in seconds.values() for turns in level.values())
    assert all(seconds['all'].keys() == level.keys() for level in seconds.values())
    # A gradient of the size of the maps is the least that a step holds.
    assert all(held >= 1 for held in measured['memory'].values())
    # To read both maps and to write a gradient is the least that a step does.
    assert all(passes >= 1 for passes in measured['passes'].values())
    assert measured['passes']['all at once'] < measured['passes']['indexing loop']
    assert printed.count('indexing loop') == 2
    assert re.search(r'Lower bound: [\d.]+ GB/s, [\d.]+ TFLOP/s', printed)


def test_rank_speed(run):
    sizes, counts = ((8, 10), (4, 30)), (2, 4)
    measured, printed = run('benchmarks/rank_speed.py', SIZES=sizes, ROW_COUNTS=counts)
    assert len(measured['seconds']) == 4  # two sizes at two strengths
    assert [*measured['seconds by rows']] == ['2', '4']
    assert '8 x 10, strength 0.5' in printed


@pytest.mark.slow
def test_step_time(run):
    kinds = ('detectors', 'coco', 'classifiers')
    options = ('--models', *kinds, '--methods', 'fkd', 'dlkd', '--size', '96', '130')
    sizes = dict(SCENES=2, IMAGES=8)
    measured, printed = run('benchmarks/step_time.py', *options, **sizes)
    assert [*measured] == [f'{kind}, {method}' for kind in kinds for method in ('fkd', 'dlkd')]
    for seconds in measured.values():
        assert [*seconds] == ['student step', 'teacher forward', 'distilled step']
    assert '| classifiers, dlkd |' in printed


def test_teacher_speed(run):
    config = dict(cfg_path='mmkd::digits/gfl_r18w48_fpn_digits.py')
    models = dict(digits=(config, (2, 3, 64, 64)))
    options = ('--eager', '--models', 'digits')
    measured, printed = run('benchmarks/teacher_speed.py', *options, MODELS=models)
    differences = {name: row['difference'] for name, row in measured['digits'].items()}
    assert differences['features'] == 0
    assert differences['channels_last'] < 1e-4 < differences['bf16'] < 0.1
    assert not any('compile' in name for name in differences)
    assert 'digits, 2 x 3 x 64 x 64' in printed


def test_a_benchmark_says_what_is_wrong_with_its_options(run, capsys):
    with pytest.raises(SystemExit):
        run('benchmarks/pcka_speed.py', '--repeats', '0')
    assert 'expected at least 1' in capsys.readouterr().err
