"""The benchmark of the loader, on the smallest distilled run."""

import json
import sys

import pytest

SCRIPT = 'benchmarks/data_time.py'


@pytest.fixture
def benchmark(script, repo, monkeypatch):
    """Function: runs the benchmark on handwritten digits."""

    def run(*options):
        config = str(repo / 'configs/baselines/kd/kd_resnet14_resnet8_digits.py')
        command = [SCRIPT, config, '--repeats', '1', '--threads', '1', *options]
        monkeypatch.setattr(sys, 'argv', command)
        # Of 160 images a batch of 16 makes ten steps.
        script(SCRIPT).main()

    return run


def test_shares_of_each_number_of_workers(benchmark, tmp_path, capsys):
    report = tmp_path / 'report.json'
    few = ['--cfg-options', 'train_dataloader.batch_size=8']
    benchmark('--workers', '0', '1', '--steps', '2', '--json', str(report), *few)
    measured = json.loads(report.read_text())['measured']
    assert list(measured) == ['0', '1']
    for times in measured.values():
        (step,), (waiting,) = times['step'], times['waiting']
        assert 0 < waiting < step
        assert times['loader alone'][0] > 0
    assert '| 0 | ' in capsys.readouterr().out


def test_more_steps_than_an_epoch_are_refused(benchmark):
    with pytest.raises(SystemExit, match=r'--steps: expected at most \d+, .*, got 4000'):
        benchmark('--steps', '4000')
