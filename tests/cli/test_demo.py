"""The demo from its first line to its table, on a few small scenes."""

import importlib.util
import json
import sys

import pytest
import torch

from mmkd.models.building import build_model

TINY = """
_base_ = {base!r}
model = {model}
train_dataloader = dict(batch_size=2, dataset=dict(num_images=4, image_size=96))
val_dataloader = dict(batch_size=2, dataset=dict(num_images=4, image_size=96))
test_dataloader = val_dataloader
train_cfg = dict(max_epochs=4)
"""
UNSURE = 'dict(test_cfg=dict(score_thr=0.0))'  # or untrained detectors would find nothing


@pytest.fixture
def demo(repo, tmp_path, monkeypatch):
    spec = importlib.util.spec_from_file_location('demo', repo / 'tools' / 'demo.py')
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)

    def tiny(path, model=UNSURE):
        config = tmp_path / path.name
        config.write_text(TINY.format(base=str(path), model=model))
        return config

    monkeypatch.setattr(module, 'TEACHER', tiny(module.TEACHER))
    monkeypatch.setattr(module, 'STUDENT', tiny(module.STUDENT))
    monkeypatch.setattr(module, 'PCKA', tiny(module.PCKA, f'dict(architecture={UNSURE})'))
    monkeypatch.setattr(module, 'QUICK_EPOCHS', dict(teacher=1, student=1))
    monkeypatch.setattr(module, 'PICTURED', range(2))
    return module


@pytest.mark.slow
def test_demo_writes_its_results_and_keeps_what_is_trained(demo, tmp_path, monkeypatch, capfd):
    out = tmp_path / 'out'
    arguments = ['demo.py', '--quick', '--seeds', '0', '--work-dir', str(out)]
    monkeypatch.setattr(sys, 'argv', arguments)
    demo.main()
    results = json.loads((out / 'results.json').read_text())
    assert list(results['summary']) == ['teacher', 'student', 'student + recipe']
    assert results['facts']['seeds'] == [0]
    (row,) = results['runs']['student + recipe']
    assert row['seconds'] > 0
    assert 0 <= row['AP'] <= 100
    assert '| student + recipe |' in (out / 'results.md').read_text()
    for picture in ('curves.png', 'detections.png'):
        assert (out / picture).stat().st_size > 5_000
    progress = capfd.readouterr().out
    assert '[teacher] Epoch(train)' in progress
    assert '[student + recipe] Epoch(similarity) [1]' in progress

    demo.main()  # everything is there
    assert 'Epoch(train)' not in capfd.readouterr().out
    assert json.loads((out / 'results.json').read_text())['runs'] == results['runs']


def test_rows_differ_in_what_their_names_say(demo, tmp_path, monkeypatch):
    teacher = tmp_path / 'teacher.py'
    teacher.write_text(f"_base_ = '{demo.TEACHER}'")
    checkpoint = tmp_path / 'teacher.pth'
    torch.save({'state_dict': build_model({'cfg_path': str(teacher)}).state_dict()}, checkpoint)
    monkeypatch.setattr(demo, 'checkpoint_of', lambda _: checkpoint)
    monkeypatch.setattr(demo, 'write_config', lambda cfg, *_: cfg)
    configs = {
        row: demo.write_student_config(row, tmp_path, 0, quick=False, teacher=teacher)
        for row in demo.ROWS
    }
    epochs = {row: cfg.train_cfg.max_epochs for row, cfg in configs.items()}
    assert epochs == {row: 8 if row == demo.LONGER else 4 for row in demo.ROWS}
    assert configs[demo.LONGER].param_scheduler[-1].T_max == 8
    losses = {
        row: [*cfg.model.distiller.losses] for row, cfg in configs.items() if 'teacher' in cfg.model
    }
    assert losses[demo.WITH_PCKA] == ['pcka']
    assert len(losses[demo.RECIPE]) > 1
    for cfg in configs.values():
        assert cfg.train_dataloader.dataset == configs[demo.ALONE].train_dataloader.dataset
        assert cfg.custom_hooks[-1].teacher.checkpoint == str(checkpoint)


def test_failing_run_stops_the_demo_with_its_output(demo, tmp_path):
    config = tmp_path / 'broken.py'
    config.with_suffix('').mkdir()
    config.write_text("train_cfg = dict(max_epochs=1)\nmodel = dict(type='NoSuchModel')\n")
    with pytest.raises(SystemExit, match=r'(?s)broken failed, see .*log\.txt'):
        demo.train_all({'broken': config})
