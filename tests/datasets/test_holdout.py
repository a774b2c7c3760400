"""The part of a data set that is set aside: disjoint, balanced, the same for a seed."""

import numpy as np
import pytest
import torch

from mmkd.datasets.in_memory import InMemoryDataset


def data(**settings):
    """60 images of 3 classes, image i of color i."""
    images = np.zeros((60, 3, 4, 4), np.uint8) + np.arange(60, dtype=np.uint8)[:, None, None, None]
    return InMemoryDataset(images, np.arange(60) % 3, device='cpu', **settings)


def members(dataset):
    return set(dataset.images[:, 0, 0, 0].tolist())


@pytest.mark.parametrize('seed', [0, 7])
def test_the_parts_are_disjoint_and_all(seed):
    rest, part = data(num_holdout=12, seed=seed), data(num_holdout=12, held_out=True, seed=seed)
    assert (len(rest), len(part)) == (48, 12)
    assert members(rest) | members(part) == set(range(60))
    for dataset in (rest, part):
        assert {index % 3 for index in members(dataset)} == {0, 1, 2}
        assert torch.equal(dataset.labels, dataset.images[:, 0, 0, 0].long() % 3)
        assert len(set(dataset.labels.bincount().tolist())) == 1


def test_seed_chooses_and_is_the_only_choice():
    def part(seed):
        return members(data(num_holdout=12, held_out=True, seed=seed))

    assert part(0) == part(0) != part(1)
    assert part(0) != set(range(12))


def test_a_subset_is_of_the_rest_and_no_holdout_changes_nothing():
    part = members(data(num_holdout=12, held_out=True))
    subset = data(num_holdout=12, num_samples=9)
    assert len(subset) == 9
    assert not members(subset) & part
    assert members(data(num_samples=9, num_holdout=0)) == members(data(num_samples=9))
    assert len(data()) == 60


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(num_holdout=60), 'num_holdout: expected 0 to 59, fewer than .*, got 60'),
        (dict(num_holdout=-1), 'num_holdout: expected'),
        (dict(held_out=True), 'held_out: expected a num_holdout'),
        (dict(num_holdout=50, num_samples=11), 'num_samples: expected 1 to 10'),
    ],
)
def test_errors(settings, message):
    with pytest.raises(ValueError, match=message):
        data(**settings)
