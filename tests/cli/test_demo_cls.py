"""The classification demo from its first line to its table, on a few digits."""

import json
import sys

import pytest
from mmengine.config import Config

ONE_EPOCH = {
    'train_dataloader.dataset.num_samples': 64,
    'val_dataloader.dataset.num_samples': 64,
    'train_cfg.max_epochs': 1,
    'train_cfg.val_interval': 1,
    'default_hooks.checkpoint.interval': 1,
}


class TinyConfig:
    """Reads a config as it is, but for few digits and one epoch."""

    @staticmethod
    def fromfile(path):
        cfg = Config.fromfile(path)
        cfg.merge_from_dict(ONE_EPOCH)
        cfg.param_scheduler = []
        return cfg


@pytest.fixture
def demo(script, monkeypatch):
    """Function: the module, run with some options."""
    module = script('tools/demo_cls.py')
    monkeypatch.setattr(module, 'Config', TinyConfig)

    def start(*options):
        monkeypatch.setattr(sys, 'argv', ['demo_cls.py', '--jobs', '1', *map(str, options)])
        module.main()

    start.module = module
    return start


def test_demo_writes_its_results_and_keeps_what_is_trained(demo, trained_here, tmp_path, capsys):
    common = ['--seeds', 3, '--work-dir', tmp_path / 'out']
    demo(*common, '--methods', 'CCKD')
    assert trained_here == ['teacher', 'student, seed 3', 'CCKD, seed 3']
    results = json.loads((tmp_path / 'out/results.json').read_text())
    assert [*results['runs']] == [*results['summary']] == ['teacher', 'student', 'CCKD']
    assert results['facts']['seeds'] == [3]
    for (row,) in results['runs'].values():
        assert 0 <= row['top-1'] <= 100
        assert row['ms per step'] > 0
    table = (tmp_path / 'out/results.md').read_text()
    assert '| CCKD |' in table
    assert table in capsys.readouterr().out

    written = Config.fromfile(tmp_path / 'out/cckd-seed3.py')
    assert written.model.teacher.checkpoint == str(tmp_path / 'out/teacher/epoch_1.pth')
    assert written.randomness == dict(seed=3)

    trained_here.clear()
    demo(*common, '--methods', 'CCKD')
    assert trained_here == []
    again = json.loads((tmp_path / 'out/results.json').read_text())
    assert again['runs'] == results['runs']


def test_unknown_method_lists_those_that_there_are(demo, trained_here, tmp_path, capsys):
    with pytest.raises(SystemExit):
        demo('--methods', 'KD', 'XYZ', '--work-dir', tmp_path)
    message = capsys.readouterr().err
    assert "'XYZ'" in message
    assert all(method in message for method in demo.module.METHODS)
    assert trained_here == []


def test_every_method_has_its_config(demo, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['demo_cls.py', '--seeds', '4'])
    monkeypatch.setattr(demo.module, 'write_config', lambda cfg, *_: cfg)
    configs = demo.module.student_configs(demo.module.parse_args(), tmp_path / 'teacher.pth')
    assert [*configs] == [(name, 4) for name in ('student', *demo.module.METHODS)]
    for (method, _), cfg in configs.items():
        if method == 'student':
            assert 'distiller' not in cfg.model
        else:
            assert any(method.lower() in loss for loss in cfg.model.distiller.losses)
            assert cfg.model.teacher.checkpoint == str(tmp_path / 'teacher.pth')
