"""The benchmarks of speed run from their command line to their tables, at small sizes."""

import json
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
    levels = (seconds['20 x 30']['mmkd'], seconds['10 x 15']['mmkd'])
    assert seconds['all']['mmkd'] == pytest.approx([a + b for a, b in zip(*levels, strict=True)])
    # A gradient of the size of the maps is the least that a step holds.
    assert all(held >= 1 for held in measured['memory'].values())
    assert printed.count('indexing loop') == 2


def test_a_benchmark_says_what_is_wrong_with_its_options(run, capsys):
    with pytest.raises(SystemExit):
        run('benchmarks/pcka_speed.py', '--repeats', '0')
    assert 'expected at least 1' in capsys.readouterr().err
