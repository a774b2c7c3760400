"""Digit scenes: the drawing, the files and the registered data set."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mmengine.config import Config
from mmengine.dataset import pseudo_collate
from mmengine.evaluator import Evaluator
from mmengine.registry import DATASETS, DefaultScope
from mmengine.structures import InstanceData
from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval

import mmkd.datasets.digits.scene_files as files
from mmkd.datasets.digits import DigitScenesDataset, digit_scenes
from mmkd.datasets.digits.scene_drawing import (
    MAX_DIGITS,
    MIN_CONTRAST,
    MIN_VISIBLE,
    draw_scene,
    paint,
)

CONFIG = Path(__file__).parents[2] / 'configs/_base_/datasets/digit_scenes_detection.py'


@pytest.fixture(scope='module')
def glyphs():
    return files.source_digits('train')


@pytest.fixture(scope='module')
def scenes(glyphs):
    return [draw_scene(np.random.default_rng(index), *glyphs, 160) for index in range(60)]


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    return digit_scenes('val', 60, cache_dir=tmp_path_factory.mktemp('cache'))


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted(folder.rglob('*')) if path.is_file()}


def annotations(folder):
    return json.loads((folder / 'annotations.json').read_text())


# --- drawing ---------------------------------------------------------------------------------


def test_layers(scenes):
    # A picture of layer numbers, painted back to front, is a second route to what is visible.
    for scene in scenes:
        layers = np.full(scene.image.shape[:2], -1)
        for number, ink in enumerate(scene.inks):
            layers[ink] = number
        for number, (ink, seen) in enumerate(zip(scene.inks, scene.visible_inks(), strict=True)):
            np.testing.assert_array_equal(seen, layers == number)
            assert seen.sum() >= MIN_VISIBLE * ink.sum() > 0


def test_some_digits_are_partly_covered(scenes):
    covered = [
        (seen != ink).any()
        for scene in scenes
        for ink, seen in zip(scene.inks, scene.visible_inks(), strict=True)
    ]
    assert 0.05 < np.mean(covered) < 0.6


def test_number_of_digits(scenes):
    counts = {len(scene.labels) for scene in scenes}
    assert {1, MAX_DIGITS} <= counts <= set(range(1, MAX_DIGITS + 1))


def test_only_the_largest_digits_are_cut_by_the_border(scenes):
    heights = []
    for ink in (ink for scene in scenes for ink in scene.inks):
        x, y, width, height = cv2.boundingRect(ink.astype(np.uint8))
        heights.append(height)
        cut = min(x, y) == 0 or max(x + width, y + height) == 160
        assert not cut or height > 110
    assert min(heights) >= 9
    assert max(heights) > 110


def test_picture_has_the_ink_where_the_masks_say(scenes):
    # A digit has one color: away from its soft edges only the noise (at most 8 gray levels)
    # varies, but for a few faintly written ones. Masks four pixels off would take in so much of
    # the ground, MIN_CONTRAST away or more, that three quarters of the digits would spread wider.
    spreads = []
    for scene in scenes:
        for seen in scene.visible_inks():
            inside = cv2.erode(seen.astype(np.uint8), np.ones((7, 7), np.uint8)) > 0
            if inside.sum() >= 50:
                spreads.append(scene.image[inside].std(axis=0).max())
    assert len(spreads) > 50
    assert np.mean(np.array(spreads) < 12) > 0.95


@pytest.mark.parametrize('ground', [0, 80, 128, 180, 255])
def test_paint_contrasts_and_keeps_the_rest(ground):
    alpha = np.zeros((20, 20), np.float32)
    alpha[5:12, 6:15] = 1
    polarities = set()
    for seed in range(50):
        image = np.full((20, 20, 3), ground, np.float32)
        paint(np.random.default_rng(seed), image, alpha)
        difference = image[alpha == 1].mean() - ground
        assert abs(difference) >= MIN_CONTRAST - 1e-3
        assert (image[alpha == 0] == ground).all()
        assert image.min() >= -1e-3
        assert image.max() <= 255 + 1e-3
        polarities.add(difference > 0)
    assert len(polarities) == (2 if 0 < ground < 255 else 1)


def test_paint_blends_by_coverage():
    alpha = np.full((4, 4), 1.0, np.float32)
    alpha[0] = 0.25
    image = np.full((4, 4, 3), 100, np.float32)
    paint(np.random.default_rng(0), image, alpha)
    np.testing.assert_allclose(image[0, 0] - 100, 0.25 * (image[1, 0] - 100), rtol=1e-5)


def test_digit_sizes_follow_the_scene(glyphs):
    def heights(size):
        drawn = (draw_scene(np.random.default_rng(i), *glyphs, size) for i in range(40))
        return [np.ptp(np.nonzero(ink)[0]) + 1 for scene in drawn for ink in scene.inks]

    assert np.median(heights(320)) / np.median(heights(160)) == pytest.approx(2, rel=0.2)


# --- files -----------------------------------------------------------------------------------


def test_same_arguments_same_bytes(tmp_path):
    first = digit_scenes('train', 4, 128, 3, tmp_path / 'a')
    second = digit_scenes('train', 4, 128, 3, tmp_path / 'b')
    assert len(contents(first)) == 5
    assert contents(first) == contents(second)


@pytest.mark.parametrize('other', [('val', 128, 3), ('train', 160, 3), ('train', 128, 4)])
def test_other_arguments_other_scenes(tmp_path, other):
    split, image_size, seed = other
    first = contents(digit_scenes('train', 2, 128, 3, tmp_path))
    second = contents(digit_scenes(split, 2, image_size, seed, tmp_path))
    assert first.keys() == second.keys()
    assert not any(first[name] == second[name] for name in first)


def test_larger_set_begins_with_the_smaller(tmp_path):
    small, large = (digit_scenes('train', n, cache_dir=tmp_path) for n in (3, 6))
    for name, content in contents(small / 'images').items():
        assert (large / 'images' / name).read_bytes() == content
    count = len(annotations(small)['annotations'])
    assert annotations(large)['annotations'][:count] == annotations(small)['annotations']


def test_splits_share_no_source_digit():
    (train, train_labels), (val, val_labels) = map(files.source_digits, files.SPLITS)
    assert len(train) + len(val) == 1797
    assert not {glyph.tobytes() for glyph in train} & {glyph.tobytes() for glyph in val}
    assert set(train_labels) == set(val_labels) == set(range(10))
    assert train.min() == 0
    assert train.max() == 1


def test_annotations_say_what_is_drawn(tmp_path, monkeypatch):
    drawn = []

    def spy(*args):
        drawn.append(draw_scene(*args))
        return drawn[-1]

    monkeypatch.setattr(files, 'draw_scene', spy)
    folder = digit_scenes('val', 30, cache_dir=tmp_path)
    content = annotations(folder)
    for image, scene in zip(content['images'], drawn, strict=True):
        picture = cv2.imread(str(folder / 'images' / image['file_name']))
        np.testing.assert_array_equal(picture, scene.image)
        assert picture.shape == (image['height'], image['width'], 3)
        found = [a for a in content['annotations'] if a['image_id'] == image['id']]
        assert [a['category_id'] for a in found] == scene.labels
        for annotation, seen in zip(found, scene.visible_inks(), strict=True):
            x, y, width, height = annotation['bbox']
            box = seen[y : y + height, x : x + width]
            assert box.sum() == seen.sum()  # nothing outside, and ink along all four sides:
            assert box[0].any()
            assert box[-1].any()
            assert box[:, 0].any()
            assert box[:, -1].any()
            assert annotation['area'] == width * height


def test_pycocotools_scores_the_truth_as_perfect(folder):
    truth = COCO(str(folder / 'annotations.json'))
    assert [c['name'] for c in truth.loadCats(truth.getCatIds())] == list('0123456789')
    detections = truth.loadRes([{**a, 'score': 0.9} for a in annotations(folder)['annotations']])
    evaluation = COCOeval(truth, detections, 'bbox')
    evaluation.evaluate()
    evaluation.accumulate()
    evaluation.summarize()
    ap, _, _, ap_small, ap_medium, _ = evaluation.stats[:6]
    assert ap == ap_small == ap_medium == pytest.approx(1)


def test_sizes_cover_small_medium_and_large(folder):
    areas = np.array([a['area'] for a in annotations(folder)['annotations']])
    assert 0.4 < (areas < 32**2).mean() < 0.75
    assert 0.01 < (areas >= 96**2).mean() < 0.1


def test_second_call_draws_nothing(tmp_path, monkeypatch):
    first = digit_scenes('train', 2, cache_dir=tmp_path)
    monkeypatch.setattr(files, 'draw_scene', None)
    assert digit_scenes('train', 2, cache_dir=tmp_path) == first


def test_interrupted_writing_is_made_good(tmp_path, monkeypatch):
    calls = iter(range(4))

    def fail_at_the_third(*args):
        if next(calls) == 2:
            raise KeyboardInterrupt
        return draw_scene(*args)

    with monkeypatch.context() as patch:
        patch.setattr(files, 'draw_scene', fail_at_the_third)
        with pytest.raises(KeyboardInterrupt):
            digit_scenes('train', 4, cache_dir=tmp_path / 'a')
    picture = next((tmp_path / 'a').rglob('000001.png'))
    picture.write_bytes(picture.read_bytes()[:100])

    made_good = contents(digit_scenes('train', 4, cache_dir=tmp_path / 'a'))
    assert made_good == contents(digit_scenes('train', 4, cache_dir=tmp_path / 'b'))


def test_processes_asking_at_once(tmp_path):
    code = (
        'import sys; from mmkd.datasets.digits import digit_scenes;'
        'print("ready", flush=True); sys.stdin.readline();'
        f'print(digit_scenes("train", 40, cache_dir={str(tmp_path / "shared")!r}))'
    )
    processes = [
        subprocess.Popen(
            [sys.executable, '-c', code],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(2)
    ]
    for process in processes:  # let both import first, so that they do write at the same time
        while process.stdout.readline() not in ('ready\n', ''):
            pass
    for process in processes:
        process.stdin.write('\n')
        process.stdin.flush()
    folders = {process.communicate(timeout=120)[0].strip() for process in processes}
    assert [process.returncode for process in processes] == [0, 0]
    (shared,) = folders
    assert contents(Path(shared)) == contents(digit_scenes('train', 40, cache_dir=tmp_path / 'b'))


def test_cache_folder(tmp_path, monkeypatch):
    monkeypatch.setenv('HOME', str(tmp_path / 'home'))
    monkeypatch.delenv('MMKD_CACHE', raising=False)
    assert digit_scenes('val', 1).is_relative_to(tmp_path / 'home/.cache/mmkd')
    monkeypatch.setenv('MMKD_CACHE', str(tmp_path / 'chosen'))
    assert digit_scenes('val', 1).is_relative_to(tmp_path / 'chosen')


@pytest.mark.parametrize(
    ('arguments', 'message'),
    [
        ({'split': 'test'}, r"split: expected one of \('train', 'val'\), got 'test'"),
        ({'num_images': 0}, 'num_images: expected at least 1, got 0'),
        ({'image_size': 64}, 'image_size: expected at least 96 pixels, got 64'),
        ({'seed': -1}, 'seed: expected a non-negative integer, got -1'),
    ],
)
def test_wrong_arguments(tmp_path, arguments, message):
    with pytest.raises(ValueError, match=message):
        digit_scenes(**{'split': 'train', 'num_images': 1, 'cache_dir': tmp_path, **arguments})
    assert not any(tmp_path.iterdir())


def test_missing_scikit_learn_names_the_extra(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match=r'pip install mmkd\[all\]'):
        digit_scenes('train', 1, cache_dir=tmp_path)


# --- data set --------------------------------------------------------------------------------


def test_dataset_has_every_digit_with_its_label(folder):
    dataset = DATASETS.build(
        {
            'type': 'mmkd.DigitScenesDataset',
            'split': 'val',
            'num_images': 60,
            'cache_dir': folder.parents[1],
        }
    )
    assert isinstance(dataset, DigitScenesDataset)
    assert dataset.metainfo['classes'] == tuple('0123456789')
    assert len(set(dataset.metainfo['palette'])) == 10
    assert len(dataset) == 60
    expected = [
        (a['image_id'], a['category_id'], a['bbox'][:2]) for a in annotations(folder)['annotations']
    ]
    found = [
        (info['img_id'], instance['bbox_label'], instance['bbox'][:2])
        for info in dataset
        for instance in info['instances']
    ]
    assert found == expected


def test_dataset_rejects_files_of_ones_own(tmp_path):
    with pytest.raises(TypeError, match='ann_file'):
        DigitScenesDataset(num_images=1, cache_dir=tmp_path, ann_file='mine.json')


@pytest.fixture
def mmdet_scope():
    with DefaultScope.overwrite_default_scope('mmdet'):
        yield


@pytest.mark.usefixtures('mmdet_scope')
def test_config_feeds_and_evaluates(tmp_path, monkeypatch):
    monkeypatch.setenv('MMKD_CACHE', str(tmp_path))
    config = Config.fromfile(CONFIG)
    sizes = {}
    for split in ('train', 'val'):
        dataset = config[f'{split}_dataloader']['dataset']
        sizes[dataset['split']] = dataset.pop('num_images')
    assert sizes == {'train': 500, 'val': 200}

    train = DATASETS.build({**config.train_dataloader.dataset, 'num_images': 2})
    sample = train[0]
    assert sample['inputs'].shape == (3, 160, 160)
    assert len(sample['data_samples'].gt_instances.labels) >= 1

    val = DATASETS.build({**config.val_dataloader.dataset, 'num_images': 12})
    evaluator = Evaluator(config.val_evaluator)
    evaluator.dataset_meta = val.metainfo
    samples = pseudo_collate(list(val))['data_samples']
    for sample in samples:
        truth = sample.gt_instances
        sample.pred_instances = InstanceData(
            bboxes=truth.bboxes.tensor, labels=truth.labels, scores=torch.ones(len(truth))
        )
    evaluator.process(samples)
    metrics = evaluator.evaluate(len(val))
    assert metrics['coco/bbox_mAP'] == 1
    assert metrics['coco/bbox_mAP_s'] == 1
    assert metrics['coco/bbox_mAP_m'] == 1
