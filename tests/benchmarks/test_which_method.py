"""The comparison of methods: what is trained, what is kept, and the pairs that it trains."""

import json
import shutil
import sys

import pytest

import mmkd


@pytest.fixture
def benchmark(script, tmp_path, monkeypatch):
    """Function: the script, run with some options; runs give the AP of their row and seed."""
    module = script('benchmarks/which_method.py')
    trained = []

    def train(configs, **_):
        trained.extend(configs)

    class Planned:
        def __init__(self, row, seed):
            self.work_dir = f'{row} {seed}'

        def write(self):
            return tmp_path / self.work_dir

    monkeypatch.setattr(module, 'train_all', train)
    monkeypatch.setattr(module, 'planned', lambda row, seed, *_: Planned(row, seed))
    aps = {'student': 10.0, 'pkd': 14.0, 'pcka': 12.0}

    def columns(work_dir):
        row, seed = work_dir.rsplit(' ', 1)
        return {'AP': aps[row] + int(seed)}

    monkeypatch.setattr(module, 'columns', columns)

    def start(*options):
        given = ['--teacher', 'teacher.pth', '--results', str(tmp_path / 'results.json'), *options]
        monkeypatch.setattr(sys, 'argv', ['which_method.py', 'digits', *given])
        module.main()
        return trained

    start.results = lambda: json.loads((tmp_path / 'results.json').read_text())
    start.module = module
    return start


def test_a_run_is_made_once(benchmark):
    assert benchmark('--rows', 'student', 'pcka', '--seeds', '0') == ['student 0', 'pcka 0']
    more = ['--rows', 'student', 'pcka', 'pkd', '--seeds', '0', '1']
    assert benchmark(*more)[2:] == ['pkd 0', 'student 1', 'pcka 1', 'pkd 1']
    assert benchmark.results()['runs']['pkd'] == {'0': {'AP': 14.0}, '1': {'AP': 15.0}}


def test_rows_stand_by_their_mean_and_only_with_all_seeds(benchmark, capsys):
    benchmark('--rows', 'student', 'pcka', 'pkd', '--seeds', '0', '1')
    lines = capsys.readouterr().out.splitlines()
    rows = [line.split('|')[1].strip() for line in lines if line.startswith('| ')][-3:]
    assert rows == ['student', 'pkd', 'pcka']
    # Gains are paired: the seeds' differences are equal, so the interval is a point.
    assert '+4.0 [+4.0, +4.0]' in '\n'.join(lines)
    runs = benchmark.results()['runs']
    del runs['pcka']['1']
    assert 'pcka' not in benchmark.module.table(runs)


def test_persons_need_data_and_teacher(script, monkeypatch, capsys):
    module = script('benchmarks/which_method.py')
    monkeypatch.setattr(sys, 'argv', ['which_method.py', 'persons'])
    with pytest.raises(SystemExit):
        module.main()
    assert 'persons: expected --data and --teacher' in capsys.readouterr().err


def test_the_teacher_of_80_classes_teaches_persons(script, tiny_coco, tmp_path):
    source = tiny_coco('person')
    for split in ('train', 'val'):
        shutil.copytree(source / 'images', tmp_path / 'persons' / split)
        shutil.copy(source / 'annotations.json', tmp_path / 'persons' / f'{split}.json')
    pair = script('benchmarks/detector_pairs.py').persons(tmp_path / 'persons', epochs=2, size=96)
    plan = mmkd.plan(
        teacher=pair.teacher,
        teacher_checkpoint='yolox_nano.pth',  # not read
        student=pair.student,
        method='recipe',
        work_dir=tmp_path,
        **pair.data,
    )
    plan.write()
    losses = mmkd.api.running.load_config(str(plan.path)).model.distiller.losses
    assert [*losses] == ['pkd', 'scores', 'boxes']
    picked = dict(type='mmkd.SelectClasses', labels=(0,), num_classes=80)
    assert losses.scores.teacher_connector == picked
    assert losses.boxes.inputs.objectness.source == 'bbox_head.multi_level_conv_obj'
    assert plan.check().startswith('one training step and one validation batch')


def test_pair_of_digits_shares_its_scenes(script):
    pair = script('benchmarks/detector_pairs.py').digits(epochs=3)
    teacher, student = (
        {**cfg.train_dataloader.dataset, 'pipeline': None} for cfg in (pair.teacher, pair.student)
    )
    assert teacher == student
    assert pair.student.param_scheduler[1].end == pair.student.train_cfg.max_epochs == 3
