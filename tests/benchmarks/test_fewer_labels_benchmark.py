"""Fewer labels: which images keep theirs, what the students share, and the table."""

import json
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from tiny_pairs import CLASSES

SCRIPT = 'benchmarks/fewer_labels.py'


@pytest.fixture
def folder(tiny_coco, tmp_path):
    """The tiny pictures as train and val."""
    source = tiny_coco(*CLASSES)
    for split in ('train', 'val'):
        (tmp_path / split).symlink_to(source / 'images')
        (tmp_path / f'{split}.json').symlink_to(source / 'annotations.json')
    return tmp_path


def test_boxes_shrink_with_their_images(script, folder):
    shrunk = script(SCRIPT).shrunk(folder, 29, folder / 'small')
    contents = [json.loads((root / 'train.json').read_text()) for root in (folder, shrunk)]
    assert {(image['width'], image['height']) for image in contents[1]['images']} == {(48, 40)}
    before, after = (np.array([a['bbox'] for a in each['annotations']]) for each in contents)
    np.testing.assert_allclose(after, before / 2)
    assert {path.name for path in (shrunk / 'val').iterdir()} == {f'{i}.png' for i in range(8)}


def test_more_labels_contain_the_fewer(script, folder):
    module, kept = script(SCRIPT), []
    for count in (2, 5, 8):
        path = module.with_labels(folder, count, folder / f'{count}/train.json')
        content = json.loads(path.read_text())
        kept.append({image['id'] for image in content['images']})
        assert len(kept[-1]) == count
        assert {each['image_id'] for each in content['annotations']} <= kept[-1]
    assert kept[0] < kept[1] < kept[2]
    with pytest.raises(SystemExit, match='--labels: expected 1 to 8, got 9'):
        module.with_labels(folder, 9, folder / '9/train.json')


def test_each_detector_takes_as_many_steps(script, folder, monkeypatch):
    module, calls = script(SCRIPT), []

    result = SimpleNamespace(metrics={'student': {'coco/bbox_mAP': 0.25}})
    monkeypatch.setattr(module.mmkd, 'distill', lambda **call: calls.append(call) or result)
    arguments = ['detectors', str(folder), '--teacher=t.pth', '--labels', '2', '8', '--seeds', '0']
    arguments += ['--steps', '12', '--batch-size', '2', '--work-dir', str(folder / 'out')]
    monkeypatch.setattr(sys, 'argv', ['fewer_labels.py', *arguments])
    module.main()
    assert [call['method'] for call in calls] == ['student', 'pkd', 'pkd', 'student', 'pkd']
    assert [bool(call.get('unlabeled')) for call in calls] == [False, False, True, False, False]
    assert [call['student'].train_cfg.max_epochs for call in calls] == [12, 12, 12, 3, 3]
    assert (folder / 'out/detectors/results.md').read_text().splitlines()[2:] == [
        '| 2 | 25.0 | 25.0 | 25.0 | +0.0 | 1 |',
        '| 8 | 25.0 | 25.0 |  |  | 1 |',
    ]


def test_rows_of_classifiers(script, monkeypatch):
    module = script(SCRIPT)
    monkeypatch.setattr(sys, 'argv', ['x', 'classifiers', 'data', '--teacher=t.pth'])
    args = module.parse_args()
    alone, labeled, everything = (
        module.classifier_config(args, 10, row)
        for row in (module.ALONE, module.LABELED, module.ALL)
    )
    for cfg in (alone, labeled, everything):
        assert cfg.train_dataloader.dataset.num_holdout == 45_000
        assert not cfg.train_dataloader.dataset.get('held_out')
        assert cfg.train_cfg.max_epochs == 51  # 4,000 steps of 64 are 51 times 5,000 images
    assert 'teacher' not in alone.model
    assert 'pseudo_labels' not in labeled.model
    assert everything.model.pseudo_labels == {'weight': 0.0}
    rest = everything.train_cfg.unlabeled_dataloader.dataset
    assert (rest.num_holdout, rest.held_out) == (45_000, True)


def test_table_pairs_seeds(script):
    module = script(SCRIPT)
    scores = {
        (5, module.LABELED): {0: 10.0, 1: 12.0, 2: 11.0},
        (5, module.ALL): {2: 14.0, 0: 12.0, 1: 13.0},
    }
    last = module.table_of(scores, ' %').splitlines()[-1]
    assert last == '| 5 % |  | 11.0 | 13.0 | +2.0 [-0.5, +4.5] | 3 |'
