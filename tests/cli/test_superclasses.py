"""The superclasses tool: features of the teacher, scikit-learn's clusters, errors."""

from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from helpers import CLASSIFIER
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from sklearn.cluster import MiniBatchKMeans

from mmkd.cli import superclass_clusters as tool
from mmkd.cli import superclasses as command
from mmkd.datasets import SURSampler
from mmkd.datasets.digits import DigitsDataset
from mmkd.datasets.superclass_file import read_superclasses
from mmkd.models.building import build_model

NUM_SAMPLES = 60


@pytest.fixture(scope='module')
def teacher(tmp_path_factory):
    """A model with weights of its own, and the config of the teacher that it is."""
    torch.manual_seed(0)
    model = build_model(CLASSIFIER).eval()
    path = tmp_path_factory.mktemp('teacher') / 'teacher.pth'
    torch.save(model.state_dict(), path)
    return model, {**CLASSIFIER, 'checkpoint': str(path)}


@pytest.fixture(scope='module')
def config(teacher, tmp_path_factory):
    """Config file of a distillation on augmented digits."""
    dataset = {'type': 'mmkd.DigitsDataset', 'augment': True, 'num_samples': NUM_SAMPLES}
    loader = {
        'batch_size': 8,
        'num_workers': 0,
        'collate_fn': {'type': 'mmkd_batch_collate'},
        'dataset': {**dataset, 'device': 'cpu'},
    }
    path = tmp_path_factory.mktemp('config') / 'run.py'
    content = {
        'default_scope': 'mmpretrain',
        'model': {'type': 'mmkd.FrozenTeacherDistill', 'teacher': teacher[1]},
        'train_dataloader': loader,
    }
    Config(content).dump(path)
    return path


@pytest.fixture(scope='module')
def digits():
    return DigitsDataset(num_samples=NUM_SAMPLES, device='cpu')


def features_by_hand(model, images):
    """Penultimate features of RGB images, one by one, with the config's normalization."""
    statistics = model.data_preprocessor
    features = []
    with torch.no_grad():
        for image in images:
            normal = (image.float() - statistics.mean) / statistics.std
            features.append(model.backbone(normal[None])[-1].mean((2, 3)))
    return torch.cat(features).numpy()


def test_clusters_are_scikit_learns_on_the_teachers_features(config, teacher, digits, tmp_path):
    out = tmp_path / 'new' / 'superclasses.npz'
    command.main([str(config), str(out), '--clusters', '7', '--seed', '3', '--batch-size', '16'])
    features = features_by_hand(teacher[0], digits.images)
    expected = MiniBatchKMeans(7, random_state=3, n_init='auto').fit(features).labels_
    sampler = SURSampler(digits, batch_size=8, superclasses=out, seed=0)
    groups = expected[list(sampler)].reshape(-1, 4)
    assert len(set(expected)) == 7
    assert (groups == groups[:, :1]).all()
    assert set(sampler) == set(range(NUM_SAMPLES))
    np.testing.assert_array_equal(read_superclasses(out, digits.get_gt_labels()), expected)


def test_what_is_written_is_told(config, digits, tmp_path, capsys):
    """Clusters may stay empty, as there are about as many as samples here."""
    out = tmp_path / 'superclasses.npz'
    command.main([str(config), str(out), '--clusters', '50'])
    sizes = Counter(read_superclasses(out, digits.get_gt_labels()).tolist()).values()
    told = f'60 samples in {len(sizes)} superclasses of {min(sizes)} to {max(sizes)}'
    assert capsys.readouterr().out.endswith(f'{out}: {told}\n')


def features_of(cfg, source='neck'):
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        loader = tool._batches(tool.training_set(cfg), cfg, 16)
        teacher = tool.FrozenTeacher.from_config(cfg.model.teacher)
        return tool.teacher_features(teacher, loader, source)


@pytest.mark.parametrize('source', ['neck', 'backbone', 'backbone.layer4'])
def test_features_are_pooled_and_not_augmented(config, teacher, digits, source):
    expected = features_by_hand(teacher[0], digits.images)
    actual = features_of(Config.fromfile(config), source)
    np.testing.assert_allclose(actual, expected, rtol=1e-4, atol=1e-5)


def test_the_last_of_several_outputs_counts():
    levels = torch.ones(2, 3, 4, 4), torch.arange(12.0).reshape(1, 3, 2, 2).half()
    assert tool._pooled(levels, 'backbone').tolist() == [[1.5, 5.5, 9.5]]
    assert tool._pooled([torch.ones(2, 3), torch.zeros(2, 5)], 'neck').shape == (2, 5)


@pytest.mark.parametrize(
    ('output', 'found'), [(torch.ones(2, 3, 4), r'\(2, 3, 4\)'), ((torch.ones(2, 3), {}), 'dict')]
)
def test_outputs_that_are_no_features(output, found):
    with pytest.raises(ValueError, match=rf'an output \(B, D\) or .* of neck, got {found}'):
        tool._pooled(output, 'neck')


def test_the_teachers_own_normalization_is_used(config, teacher, digits):
    cfg = Config.fromfile(config)
    cfg.data_preprocessor = {'type': 'ClsDataPreprocessor', 'mean': [1.0] * 3, 'std': [9.0] * 3}
    expected = features_by_hand(teacher[0], digits.images)
    np.testing.assert_allclose(features_of(cfg), expected, rtol=1e-4, atol=1e-5)


@pytest.fixture
def folders(tmp_path):
    """Twelve pictures in two folders, each of one gray on the left and white on the right."""
    for index in range(12):
        picture = np.full((32, 32, 3), 255, np.uint8)
        picture[:, :16] = 10 * index
        folder = tmp_path / 'images' / 'ab'[index % 2]
        folder.mkdir(parents=True, exist_ok=True)
        cv2.imwrite(str(folder / f'{index:02d}.png'), picture)
    return tmp_path / 'images'


def folder_config(config, folders, **changes):
    """The config with a data set of MMPretrain's, mirrored in training."""
    cfg = Config.fromfile(config)
    load, pack = {'type': 'LoadImageFromFile'}, {'type': 'PackInputs'}
    flip = {'type': 'RandomFlip', 'prob': 1.0}
    dataset = {'type': 'CustomDataset', 'data_root': str(folders)}
    loader = {'batch_size': 4, 'num_workers': 0}
    cfg.train_dataloader = {**loader, 'dataset': {**dataset, 'pipeline': [load, flip, pack]}}
    cfg.val_dataloader = {**loader, 'dataset': {**dataset, 'pipeline': [load, pack]}}
    cfg.merge_from_dict(changes)
    return cfg


def test_files_are_read_by_the_evaluation_pipeline_in_order(config, folders):
    cfg = folder_config(config, folders)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        stock = Runner.build_dataloader(
            {**cfg.train_dataloader, 'sampler': {'type': 'DefaultSampler', 'shuffle': False}}
        )
        first = next(iter(stock))
        batches = list(tool._batches(tool.training_set(cfg), cfg, 5))
    assert first['inputs'][0][0, 0, 0] == 255  # mirrored
    images = torch.stack([image for batch in batches for image in batch['inputs']])
    assert images[:, 0, 0, 0].tolist() == [*range(0, 120, 20), *range(10, 120, 20)]
    assert images[:, 0, 0, -1].eq(255).all()


def test_wrapped_data_sets(config, folders, tmp_path):
    cfg = folder_config(config, folders)
    cfg.train_dataloader.dataset = {
        'type': 'RepeatDataset',
        'times': 2,
        'dataset': {'type': 'ConcatDataset', 'datasets': [cfg.train_dataloader.dataset] * 2},
    }
    clusters, labels = tool.superclasses(cfg, 3, source='neck', seed=0, batch_size=16)
    assert labels.tolist() == ([0] * 6 + [1] * 6) * 4
    np.testing.assert_array_equal(clusters.reshape(4, 12), np.tile(clusters[:12], (4, 1)))


def run(cfg, clusters=3, source='neck', batch_size=16):
    return tool.superclasses(cfg, clusters, source=source, seed=0, batch_size=batch_size)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'clusters': 61}, 'clusters: expected at most the number of samples, 60, got 61'),
        ({'clusters': 0}, 'clusters: expected a positive integer, got 0'),
        ({'batch_size': 0}, 'batch_size: expected a positive integer, got 0'),
        ({'source': 'nick'}, r"source: expected a module of the teacher, .*'neck'.* got 'nick'"),
        ({'source': 'head.loss_module'}, 'that runs once a batch, head.loss_module ran 0 times'),
        ({'source': 'backbone.layer1.0.relu'}, r'that runs once .*relu ran 2 times'),
    ],
)
def test_argument_errors(config, options, message):
    with pytest.raises(ValueError, match=message):
        run(Config.fromfile(config), **options)


def test_more_clusters_than_samples_are_noticed_before_the_work(config, monkeypatch):
    monkeypatch.setattr(tool, 'teacher_features', lambda *_: pytest.fail('too late'))
    with pytest.raises(ValueError, match='clusters: expected at most'):
        run(Config.fromfile(config), clusters=1000)


@pytest.mark.parametrize('other', [None, {'members': {'a': CLASSIFIER}}])
def test_config_without_one_teacher(config, other):
    cfg = Config.fromfile(config)
    cfg.model.pop('teacher')
    if other is not None:
        cfg.model.teacher = other
    with pytest.raises(
        ValueError, match=r'model\.teacher: expected the config of one teacher, got'
    ):
        run(cfg)


def test_no_evaluation_pipeline(config, folders):
    cfg = folder_config(config, folders)
    cfg.val_dataloader = None
    with pytest.raises(
        ValueError, match=r'val_dataloader\.dataset: expected one with a `pipeline`'
    ):
        run(cfg)


def test_broken_teacher(config, tmp_path):
    cfg = Config.fromfile(config)
    state_dict = torch.load(cfg.model.teacher.checkpoint)
    state_dict['backbone.conv1.weight'].fill_(float('inf'))
    torch.save(state_dict, tmp_path / 'broken.pth')
    cfg.model.teacher.checkpoint = str(tmp_path / 'broken.pth')
    with pytest.raises(ValueError, match='features: expected finite numbers, got others'):
        run(cfg)
