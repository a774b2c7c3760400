import sys
from collections import Counter

import cv2
import numpy as np
import pytest
import torch
from mmengine.registry import DefaultScope
from mmengine.runner import Runner
from mmpretrain.models import ImageClassifier
from sklearn.datasets import load_digits
from torch import nn
from torch.nn import functional as F

from mmkd.datasets.digits import DigitsDataset


@pytest.fixture(scope='module')
def splits():
    return {split: DigitsDataset(split=split, device='cpu') for split in ('train', 'val')}


def test_the_two_splits_are_the_enlarged_digits_each_once(splits):
    found = Counter(
        (image.numpy().tobytes(), int(label))
        for data in splits.values()
        for image, label in zip(data.images, data.labels, strict=True)
    )
    digits = load_digits()
    expected = Counter()
    for digit, label in zip(digits.images, digits.target, strict=True):
        large = cv2.resize(digit / 16 * 255, (32, 32), interpolation=cv2.INTER_LINEAR)
        expected[np.stack([np.rint(large).astype(np.uint8)] * 3).tobytes(), int(label)] += 1
    assert found == expected


def test_every_digit_is_split_two_to_one(splits):
    train, val = (np.bincount(splits[split].get_gt_labels()) for split in ('train', 'val'))
    assert (train.sum(), val.sum()) == (1198, 599)
    assert len(train) == len(val) == 10
    assert np.abs(train - 2 * val).max() <= 1


def test_the_split_is_the_same_every_time_and_whatever_the_seed(splits):
    torch.manual_seed(5)
    np.random.seed(5)
    again = DigitsDataset(split='val', seed=5, device='cpu')
    assert torch.equal(again.images, splits['val'].images)


def test_neither_split_is_sorted_by_class(splits):
    for data in splits.values():
        assert (np.diff(data.get_gt_labels()) < 0).mean() > 0.3


def test_classes(splits):
    expected = {'classes': tuple('0123456789'), 'dataset_type': 'digits'}
    assert splits['train'].metainfo == splits['val'].metainfo == expected


def test_augmentation_does_not_mirror():
    data = DigitsDataset(augment=True, crop_padding=0, num_samples=50, device='cpu')
    batch = data.__getitems__(range(50))['inputs']
    assert torch.equal(batch, data.images)
    mirroring = DigitsDataset(augment=True, crop_padding=0, flip=True, num_samples=50, device='cpu')
    assert not torch.equal(mirroring.__getitems__(range(50))['inputs'], data.images)


def test_errors(monkeypatch):
    with pytest.raises(ValueError, match=r"split: expected one of \('train', 'val'\), got 'test'"):
        DigitsDataset(split='test')
    monkeypatch.setitem(sys.modules, 'sklearn.datasets', None)
    with pytest.raises(ImportError, match='pip install'):
        DigitsDataset()


def loader(split, **dataset):
    return {
        'dataset': {'type': 'mmkd.DigitsDataset', 'split': split, 'device': 'cpu', **dataset},
        'batch_size': 60,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': split == 'train'},
        'collate_fn': {'type': 'mmkd_batch_collate'},
    }


class OriginalPixels(nn.Module):
    """The 8 x 8 digits again, as features of a linear classifier."""

    def forward(self, inputs):
        return (F.avg_pool2d(inputs[:, :1], 4).flatten(1),)


def test_a_classifier_of_mmpretrain_learns_them(tmp_path):
    torch.manual_seed(0)  # the model is built before Runner seeds
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = ImageClassifier(
            backbone=OriginalPixels(),
            head={'type': 'LinearClsHead', 'num_classes': 10, 'in_channels': 64},
            data_preprocessor={'mean': [78.0] * 3, 'std': [90.0] * 3},
        )
    runner = Runner(
        model=model,
        work_dir=str(tmp_path),
        train_dataloader=loader('train', num_samples=600, augment=True, crop_padding=1),
        train_cfg={'by_epoch': True, 'max_epochs': 5},
        optim_wrapper={'optimizer': {'type': 'AdamW', 'lr': 0.02}},
        val_dataloader=loader('val'),
        val_cfg={},
        val_evaluator={'type': 'mmpretrain.Accuracy'},
        custom_hooks=[{'type': 'mmkd.DataCheckHook'}],
        randomness={'seed': 0},
        default_scope='mmpretrain',
        log_level='WARNING',
        experiment_name=tmp_path.name,
    )
    runner.train()
    assert runner.message_hub.get_scalar('val/accuracy/top1').current() > 80
