"""The comparison of detectors from its first line to its table, on eight images."""

import json
import shutil
import sys

import pytest
import torch
from mmengine.config import Config

from mmkd.analysis import Run
from mmkd.models.building import build_model
from mmkd.registry import MODELS

CLASSES = ('cat', 'dog')


class AnyScore:
    """Reads a config as it is, but that its student keeps detections of any score."""

    @staticmethod
    def fromfile(path):
        cfg = Config.fromfile(path)
        if 'model' in cfg:
            student = cfg.model.get('architecture', cfg.model)
            student.test_cfg = {**student.get('test_cfg', {}), 'score_thr': 0.0}
        return cfg


@pytest.fixture
def coco_folder(tiny_coco, tmp_path):
    """A folder as the benchmark takes it, and an untrained teacher of its classes."""
    source, folder = tiny_coco(*CLASSES), tmp_path / 'pets'
    for split in ('train', 'val'):
        shutil.copytree(source / 'images', folder / split)
        shutil.copy(source / 'annotations.json', folder / f'{split}.json')
    return folder


@pytest.fixture
def benchmark(script, repo, coco_folder, tmp_path, monkeypatch):
    """Function: the script, run with some options on the folder."""
    module = script('benchmarks/detection.py')
    config = dict(cfg_path=str(repo / 'configs/digits/gfl_r18w48_fpn_digits.py'))
    teacher = build_model(config | dict(bbox_head=dict(num_classes=len(CLASSES))))
    torch.save({'state_dict': teacher.state_dict()}, tmp_path / 'teacher.pth')

    def start(*options, data=coco_folder):
        paths = ['--teacher', tmp_path / 'teacher.pth', '--work-dir', tmp_path / 'out']
        arguments = [*([data] if data else []), *paths, '--size', 96, *options]
        monkeypatch.setattr(sys, 'argv', ['detection.py', *map(str, arguments)])
        module.main()

    start.module = module
    return start


@pytest.mark.slow
def test_benchmark_writes_its_table_and_keeps_what_is_trained(
    benchmark, trained_here, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(benchmark.module, 'Config', AnyScore)
    options = ('--epochs', 1, '--seeds', 5, '--methods', 'student', 'cmkd')
    benchmark(*options)
    assert trained_here == ['student 5', 'cmkd 5']
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert (results['facts']['epochs'], results['facts']['seeds']) == (1, [5])
    assert [*results['runs']] == [*results['summary']] == ['student', 'cmkd']
    for (row,) in results['runs'].values():
        assert 0 <= row['AP'] <= row['AP50'] <= 100
        assert row['ms per step'] > 0
    table = (tmp_path / 'out/results.md').read_text()
    assert table.startswith('| | AP |')
    assert '| cmkd |' in table
    assert table in capsys.readouterr().out

    written = Config.fromfile(tmp_path / 'out/cmkd-seed5.py')
    assert written.model.teacher.checkpoint == str(tmp_path / 'teacher.pth')
    assert written.model.teacher.bbox_head.num_classes == 2
    assert written.model.architecture.bbox_head.num_classes == 2
    algorithm = MODELS.build(written.model)
    assert algorithm.distiller.distill_losses['loss_cmkd'].num_classes == 2

    trained_here.clear()
    benchmark(*options)
    assert trained_here == []


def test_a_student_that_detects_nothing_has_no_precision(benchmark, monkeypatch, tmp_path):
    run = Run(steps=1, seconds=0.5)
    monkeypatch.setattr(benchmark.module, 'read_run', lambda _: run)
    row = benchmark.module.columns(tmp_path / 'student.py')
    assert row == dict.fromkeys(['AP', 'AP50', 'AP75', 'AP_S', 'AP_M', 'AP_L'], 0) | {
        'ms per step': 500
    }


def test_digits_are_the_default(benchmark, monkeypatch):
    written = {}

    def see(configs, *_, **__):
        written.update({name: Config.fromfile(path) for name, path in configs.items()})

    monkeypatch.setattr(benchmark.module, 'train_all', see)
    monkeypatch.setattr(benchmark.module, 'columns', lambda _: {'AP': 1.0})
    benchmark('--epochs', 3, '--images', 7, '--seeds', 1, data=None)
    assert [*written] == [f'{method} 1' for method in benchmark.module.METHODS]
    for cfg in written.values():
        assert cfg.train_dataloader.dataset.type == 'mmkd.DigitScenesDataset'
        assert cfg.train_dataloader.dataset.num_images == 7
        assert cfg.train_cfg.max_epochs == cfg.param_scheduler[-1].T_max == 3


def test_an_unknown_method_names_those_that_there_are(benchmark):
    with pytest.raises(SystemExit, match=r"no config of 'foo'; there are: .*dlkd.*pcka_mimic"):
        benchmark('--methods', 'foo')
