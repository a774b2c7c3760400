"""CURSampler and SURSampler: groups, coverage, processes, epochs, errors."""

import pickle
from collections import Counter

import numpy as np
import pytest
import torch
from helpers import run_in_processes
from mmengine.dataset import RepeatDataset
from mmengine.runner import Runner
from torch.utils.data import ConcatDataset, Dataset

from mmkd.datasets import CURSampler, InMemoryDataset, SURSampler
from mmkd.datasets.samplers import group_sampler
from mmkd.datasets.superclass_file import encode_superclasses, read_superclasses
from mmkd.registry import DATA_SAMPLERS


class Labeled(Dataset):
    """Samples of which only the labels are known."""

    def __init__(self, labels, classes=None):
        self.labels = np.asarray(labels)
        self.metainfo = {} if classes is None else {'classes': classes}

    def __len__(self):
        return len(self.labels)

    def __getitem__(self, index):
        return index

    def get_gt_labels(self):
        return self.labels


def labeled(*sizes, seed=0):
    """Classes of these sizes, their samples mixed."""
    labels = np.repeat(np.arange(len(sizes)), sizes)
    return Labeled(np.random.default_rng(seed).permutation(labels))


BALANCED = labeled(*[40] * 10)
UNEVEN = labeled(*range(7, 67, 5))  # 12 classes, 7 to 62 samples: 108 groups of 4
DOMINATED = labeled(200, 9, 8, 10, 11, 4)


def as_batches(sampler, data, global_batch):
    """Labels of each batch, shape (batches, groups, k)."""
    indices = np.array(list(sampler))
    return data.labels[indices].reshape(-1, global_batch // 4, 4)


def simulated(monkeypatch, rank, world_size, data, **options):
    monkeypatch.setattr(group_sampler, 'get_dist_info', lambda: (rank, world_size))
    return CURSampler(data, seed=3, **options)


@pytest.mark.parametrize('data', [BALANCED, UNEVEN], ids=['balanced', 'uneven'])
@pytest.mark.parametrize('epoch', range(5))
def test_every_batch_is_p_distinct_classes_with_k_distinct_samples(data, epoch):
    sampler = CURSampler(data, batch_size=24, seed=0)
    sampler.set_epoch(epoch)
    indices = np.array(list(sampler)).reshape(-1, 4)
    assert all(len(set(group)) == 4 for group in indices)
    for batch in as_batches(sampler, data, 24):
        assert (batch == batch[:, :1]).all()
        assert len(set(batch[:, 0])) == 6


@pytest.mark.parametrize('data', [BALANCED, UNEVEN, DOMINATED])
def test_an_epoch_shows_every_sample_once_and_few_twice(data):
    counts = Counter(CURSampler(data, batch_size=24, seed=0))
    assert set(counts) == set(range(len(data)))
    assert max(counts.values()) <= 3  # its group, a filled one, one of the last batch
    sizes = np.bincount(data.labels)
    groups = (-(-sizes // 4)).sum()
    assert sum(counts.values()) == -(-groups // 6) * 24


def test_balanced_classes_that_fill_their_batches_are_shown_exactly_once():
    assert sorted(CURSampler(BALANCED, batch_size=40, seed=0)) == list(range(400))


def test_a_dominant_class_is_part_of_every_batch_and_repeated_only_at_the_end():
    batches = as_batches(CURSampler(DOMINATED, batch_size=12, seed=0), DOMINATED, 12)
    first = [Counter(batch[:, 0]) for batch in batches]
    assert all(0 in count for count in first)
    distinct = [len(count) == 3 for count in first]
    # Groups of the others: 3 + 2 + 3 + 3 + 1 = 12, two of them a batch.
    assert distinct == [True] * 6 + [False] * (len(distinct) - 6)


def test_the_last_batch_is_not_filled_with_a_class_that_has_a_group_in_every_batch():
    data = labeled(12, 4, 4)  # five groups for three batches of two
    sampler = CURSampler(data, batch_size=8, seed=0)
    for epoch in range(10):
        sampler.set_epoch(epoch)
        assert all(len(set(batch[:, 0])) == 2 for batch in as_batches(sampler, data, 8))


def test_fewer_classes_than_groups_share_the_batch_evenly():
    data = labeled(40, 40, 40)
    batches = as_batches(CURSampler(data, batch_size=32, seed=0), data, 32)
    assert len(batches) == 4
    for batch in batches:
        assert sorted(Counter(batch[:, 0]).values()) == [2, 3, 3]


def test_classes_are_drawn_at_random():
    """The first group of the first batch, over epochs, follows the classes' numbers of groups."""
    data = labeled(8, 8, 16, 32)
    sampler, first = CURSampler(data, batch_size=4, seed=0), []
    for epoch in range(800):
        sampler.set_epoch(epoch)
        first.append(data.labels[next(iter(sampler))])
    share = np.bincount(first) / 800
    np.testing.assert_allclose(share, [1 / 8, 1 / 8, 1 / 4, 1 / 2], atol=4 * (0.25 / 800) ** 0.5)


def test_classes_are_grouped_anew_in_each_epoch():
    sampler, groups = CURSampler(BALANCED, batch_size=8, seed=0), []
    for epoch in range(2):
        sampler.set_epoch(epoch)
        groups.append({frozenset(group) for group in np.array(list(sampler)).reshape(-1, 4)})
    assert len(groups[0] & groups[1]) < 10  # of 100


def test_no_process_gets_the_largest_class_alone():
    batches = as_batches(CURSampler(DOMINATED, batch_size=12, seed=0), DOMINATED, 12)
    place = (batches[:6, :, 0] == 0).argmax(1)  # these hold one group of it
    assert len(set(place)) > 1


@pytest.mark.parametrize('data', [BALANCED, UNEVEN, DOMINATED])
@pytest.mark.parametrize('world_size', [2, 3])
def test_simulated_processes_equal_one(monkeypatch, data, world_size):
    one = simulated(monkeypatch, 0, 1, data, batch_size=8 * world_size)
    whole = np.array(list(one)).reshape(-1, world_size, 8)
    for rank in range(world_size):
        part = simulated(monkeypatch, rank, world_size, data, batch_size=8)
        assert list(part) == whole[:, rank].ravel().tolist()
        assert len(part) == len(list(part)) == whole[:, rank].size


def draw(rank, seed):
    return torch.tensor([*CURSampler(UNEVEN, batch_size=8, seed=seed)])


def test_processes_agree_on_a_seed_of_their_own():
    parts = torch.stack(run_in_processes(draw, None)).view(2, -1, 8)
    joined = UNEVEN.labels[parts.transpose(0, 1).reshape(-1, 16)]
    assert set(parts.flatten().tolist()) == set(range(len(UNEVEN)))
    assert all(len(set(batch)) == 4 for batch in joined)


def test_an_epoch_is_reproduced_on_resume_and_differs_from_others():
    run = CURSampler(UNEVEN, batch_size=8, seed=5)
    epochs = []
    for epoch in range(3):
        run.set_epoch(epoch)
        epochs.append(list(run))
    assert epochs[0] != epochs[1] != epochs[2] != epochs[0]
    resumed = CURSampler(UNEVEN, batch_size=8, seed=77)
    resumed.seed = 5  # as EpochSeedHook does
    resumed.set_epoch(2)
    assert list(resumed) == list(resumed) == epochs[2]


def test_seed_and_epoch_are_not_added_up():
    first, second = (CURSampler(UNEVEN, batch_size=8, seed=seed) for seed in (0, 1))
    first.set_epoch(1)
    assert list(first) != list(second)


def test_length_is_that_of_the_epoch():
    for data in (BALANCED, UNEVEN, DOMINATED):
        sampler = CURSampler(data, batch_size=24, seed=0)
        assert len(sampler) == len(list(sampler))
        assert len(sampler) % 24 == 0


def test_the_runner_builds_it_and_its_batches_reach_the_loader():
    sampler = {'type': 'mmkd.CURSampler', 'batch_size': 8}
    loader = Runner.build_dataloader(
        {'batch_size': 8, 'dataset': BALANCED, 'sampler': sampler}, seed=4
    )
    assert isinstance(loader.sampler, CURSampler)
    assert loader.sampler.seed == 4
    batches = list(loader)
    assert len(batches) == len(loader) == 50
    assert all(len(set(BALANCED.labels[batch])) == 2 for batch in batches)


def test_small_classes():
    data = Labeled([0, 1, 0, 1, 1, 0, 1, 0, 2, 2], classes=('cat', 'dog', 'owl'))
    message = r'at least 4 samples of each class, got 2 of class 2 \(owl\); set small_classes='
    with pytest.raises(ValueError, match=message):
        CURSampler(data, batch_size=8)
    sampler = CURSampler(data, batch_size=12, seed=0, small_classes='repeat')
    batch = as_batches(sampler, data, 12)
    assert sorted(batch[0, :, 0]) == [0, 1, 2]
    assert set(sampler) == set(range(10))


def test_a_class_without_a_name_is_told_by_its_number():
    with pytest.raises(ValueError, match='got 1 of class 7; set'):
        CURSampler(Labeled([7, 0, 0, 0, 0], classes=('cat',)), batch_size=4)


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'batch_size': 30}, 'batch_size: expected a multiple of num_per_class=4, got 30'),
        ({'batch_size': 0}, 'batch_size: expected a positive integer, got 0'),
        ({'num_per_class': 0}, 'num_per_class: expected a positive integer, got 0'),
        ({'num_per_class': 41, 'batch_size': 41}, 'at least 41 samples of each class, got 40'),
        ({'seed': -1}, 'seed: expected a non-negative integer, got -1'),
        ({'small_classes': 'drop'}, "small_classes: expected one of .* got 'drop'"),
    ],
)
def test_argument_errors(options, message):
    with pytest.raises(ValueError, match=message):
        CURSampler(BALANCED, **{'batch_size': 8, **options})


def test_concatenated_and_repeated_data_sets():
    joined = ConcatDataset([BALANCED, labeled(*[8] * 10, seed=1)])
    labels = np.concatenate([part.labels for part in joined.datasets])
    groups = labels[list(CURSampler(joined, batch_size=8, seed=0))].reshape(-1, 4)
    assert (groups == groups[:, :1]).all()
    repeated = RepeatDataset.__new__(RepeatDataset)  # whose constructor takes MMEngine's alone
    repeated.__dict__.update(
        dataset=BALANCED, times=3, _ori_len=400, _fully_initialized=True, _metainfo={}
    )
    groups = np.array(list(CURSampler(repeated, batch_size=8, seed=0))).reshape(-1, 4)
    assert groups.max() >= 800
    assert (BALANCED.labels[groups % 400] == BALANCED.labels[groups[:, :1] % 400]).all()


def test_in_memory_data_set():
    images = np.zeros((20, 3, 4, 4), np.uint8)
    data = InMemoryDataset(images, np.arange(20) % 5, device='cpu')
    assert sorted(CURSampler(data, batch_size=20, seed=0)) == list(range(20))


def test_data_sets_without_one_label_a_sample():
    with pytest.raises(TypeError, match=r'dataset: expected a classification data set .* got list'):
        CURSampler([1, 2, 3], batch_size=4)
    message = r'one integer label for each of its 4 samples, got labels of shape \(4, 2\)'
    with pytest.raises(ValueError, match=message):
        CURSampler(Labeled(np.zeros((4, 2), int)), batch_size=4)
    with pytest.raises(ValueError, match=r'one integer label .* type float64'):
        CURSampler(Labeled(np.zeros(4)), batch_size=4)
    with pytest.raises(ValueError, match='dataset: expected at least one sample, got none'):
        CURSampler(Labeled(np.zeros(0, int)), batch_size=4)


def test_a_loader_cut_short_is_refused():
    """`num_batch_per_epoch` hides samples that the labels still know."""
    loader = {
        'batch_size': 8,
        'dataset': BALANCED,
        'sampler': {'type': 'mmkd.CURSampler', 'batch_size': 8},
        'num_batch_per_epoch': 2,
    }
    with pytest.raises(ValueError, match='each of its 16 samples, got labels of shape'):
        Runner.build_dataloader(loader)


@pytest.fixture
def superclass_file(tmp_path):
    """Three clusters over UNEVEN, the last of two samples."""
    clusters = np.arange(len(UNEVEN)) % 2
    clusters[[5, 9]] = 2
    path = tmp_path / 'superclasses.npz'
    path.write_bytes(encode_superclasses(clusters, UNEVEN.labels))
    return path, clusters


def test_superclasses_take_the_place_of_classes(superclass_file):
    path, clusters = superclass_file
    np.testing.assert_array_equal(read_superclasses(path, UNEVEN.labels), clusters)
    config = {'type': 'mmkd.SURSampler', 'batch_size': 8, 'superclasses': path, 'seed': 0}
    sampler = DATA_SAMPLERS.build(config, default_args={'dataset': UNEVEN})
    assert isinstance(sampler, SURSampler)
    assert set(sampler) == set(range(len(UNEVEN)))
    groups = clusters[list(sampler)].reshape(-1, 4)
    assert (groups == groups[:, :1]).all()
    # The same draws as by class, were the superclasses the labels.
    by_class = CURSampler(Labeled(clusters), batch_size=8, seed=0, small_classes='repeat')
    assert list(sampler) == list(by_class)


def test_small_superclasses_may_be_refused(superclass_file):
    path, _ = superclass_file
    with pytest.raises(ValueError, match='samples of each superclass, got 2 of superclass 2; set'):
        SURSampler(UNEVEN, batch_size=8, superclasses=path, small_classes='error')


def test_a_file_of_another_data_set_is_refused(superclass_file):
    path, _ = superclass_file
    with pytest.raises(ValueError, match=r'those of the 400 samples .* has those of 414; is it a'):
        SURSampler(BALANCED, 8, path)
    shuffled = Labeled(UNEVEN.labels[::-1])
    with pytest.raises(ValueError, match=r'superclasses: the labels .* file of another data set'):
        SURSampler(shuffled, 8, path)


def test_labels_of_another_type_are_the_same_labels(superclass_file):
    path, clusters = superclass_file
    for dtype in (np.int8, np.uint16, '>i4'):
        np.testing.assert_array_equal(
            read_superclasses(path, UNEVEN.labels.astype(dtype)), clusters
        )


def other_files(folder):
    (folder / 'empty.npz').write_bytes(b'')
    (folder / 'text.npz').write_text('superclasses')
    (folder / 'cut.npz').write_bytes(encode_superclasses(UNEVEN.labels, UNEVEN.labels)[:-40])
    np.save(folder / 'array.npy', UNEVEN.labels)
    np.savez(folder / 'other.npz', labels=UNEVEN.labels)
    (folder / 'pickled.npz').write_bytes(pickle.dumps({'superclasses': UNEVEN.labels}))
    np.savez(folder / 'objects.npz', superclasses=np.array([{}]), fingerprint=np.array([{}]))
    return sorted(folder.iterdir())


def test_no_superclass_file(tmp_path):
    files = other_files(tmp_path)
    assert len(files) == 7
    for path in files:
        with pytest.raises(
            ValueError, match=rf'expected a file of tools/superclasses\.py, got .*{path.name}'
        ):
            SURSampler(UNEVEN, 8, path)
    with pytest.raises(FileNotFoundError, match=r'missing\.npz'):
        SURSampler(UNEVEN, 8, tmp_path / 'missing.npz')


def test_superclasses_of_another_length_are_not_written():
    with pytest.raises(ValueError, match=r'the shape of the labels, \(N,\) = \(3,\), got \(2,\)'):
        encode_superclasses(np.zeros(2, int), np.zeros(3, int))
