import copy
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.dataset import Compose, pseudo_collate
from mmengine.runner import Runner
from mmpretrain.models import ClsDataPreprocessor
from mmpretrain.registry import TRANSFORMS
from mmpretrain.structures import DataSample
from torch.utils.data import DataLoader, Subset

from mmkd.datasets import InMemoryDataset, in_memory, pass_batch_on
from mmkd.hooks import EpochSeedHook

MEAN, STD = [120.0, 110.0, 100.0], [60.0, 50.0, 40.0]  # of red, green and blue


def pictures(count=6, height=7, width=5, seed=0):
    rng = np.random.default_rng(seed)
    return rng.integers(1, 256, (count, 3, height, width), dtype=np.uint8)


def dataset(count=6, labels=None, **options):
    labels = np.arange(count) % 3 if labels is None else labels
    return InMemoryDataset(pictures(count), labels, **{'device': 'cpu', **options})


def loader(data, batch_size=4, collate='mmkd_batch_collate', **options):
    config = {
        'dataset': data,
        'batch_size': batch_size,
        'num_workers': 0,
        'sampler': {'type': 'DefaultSampler', 'shuffle': False},
        'collate_fn': {'type': collate},
        **options,
    }
    return Runner.build_dataloader(config, seed=0)


def naive_batch(images, indices, padding, flip):
    """Sample by sample in NumPy, with the draws that the batch will make."""
    count, _, height, width = images.shape
    top, left = torch.randint(2 * padding + 1, (2, len(indices), 1)).squeeze(-1).tolist()
    mirror = (torch.rand(len(indices), 1) < 0.5).squeeze(-1).tolist() if flip else [False] * count
    batch = []
    for index, y, x, mirrored in zip(indices, top, left, mirror, strict=False):
        padded = np.pad(images[index], ((0, 0), (padding, padding), (padding, padding)))
        crop = padded[:, y : y + height, x : x + width]
        batch.append(crop[..., ::-1] if mirrored else crop)
    return np.stack(batch)


@pytest.mark.parametrize('flip', [False, True])
@pytest.mark.parametrize('padding', [0, 1, 4])
def test_a_batch_equals_its_samples_augmented_one_by_one(padding, flip):
    indices = [5, 0, 3, 3, 1]
    data = dataset(augment=True, crop_padding=padding, flip=flip)
    torch.manual_seed(3)
    expected = naive_batch(pictures(), indices, padding, flip)
    torch.manual_seed(3)
    batch = data.__getitems__(indices)
    assert batch['inputs'].dtype == torch.uint8
    np.testing.assert_array_equal(batch['inputs'], expected)
    assert [int(sample.gt_label) for sample in batch['data_samples']] == [2, 0, 0, 0, 1]


def test_every_crop_and_either_side_comes_up():
    image = pictures(1)[0]
    padded = np.pad(image, ((0, 0), (1, 1), (1, 1)))
    crops = [padded[:, y : y + 7, x : x + 5] for y in range(3) for x in range(3)]
    possible = {crop.tobytes() for crop in crops} | {c[..., ::-1].tobytes() for c in crops}
    assert len(possible) == 18
    data = InMemoryDataset(image[None], [0], augment=True, crop_padding=1, device='cpu')
    torch.manual_seed(0)
    drawn = [image.numpy().tobytes() for image in data.__getitems__([0] * 1800)['inputs']]
    counts = np.array([drawn.count(crop) for crop in possible])
    assert counts.sum() == 1800  # nothing else
    assert counts.min() > 60  # 100 expected, standard deviation 10
    assert counts.max() < 140


def test_without_augmentation_images_are_as_given_and_no_number_is_drawn():
    before = torch.get_rng_state()
    batch = dataset().__getitems__([4, 1])
    np.testing.assert_array_equal(batch['inputs'], pictures()[[4, 1]])
    assert torch.equal(torch.get_rng_state(), before)


def test_data_samples_are_mmpretrains():
    sample = dataset().__getitems__([4])['data_samples'][0]
    assert type(sample) is DataSample
    assert sample.metainfo == {'img_shape': (7, 5), 'sample_idx': 4}
    expected = DataSample(metainfo=sample.metainfo).set_gt_label(1)
    assert sample.keys() == expected.keys()
    assert torch.equal(sample.gt_label, expected.gt_label)
    assert sample.gt_label.dtype == expected.gt_label.dtype


def test_changing_a_batch_leaves_the_data_alone():
    data = dataset()
    batch = data.__getitems__([1, 2])
    batch['inputs'].zero_()
    batch['data_samples'][0].gt_label += 7
    again = data.__getitems__([1, 2])
    np.testing.assert_array_equal(again['inputs'], pictures()[[1, 2]])
    assert again['data_samples'][0].gt_label.tolist() == [1]
    assert data.get_gt_labels().tolist() == [0, 1, 2, 0, 1, 2]


def test_a_sample():
    data = dataset()
    sample = data[-1]
    np.testing.assert_array_equal(sample['inputs'], pictures()[5])
    assert sample['data_samples'].sample_idx == 5
    assert sample['data_samples'].gt_label.tolist() == [2]
    assert len([*data]) == len(data) == 6
    with pytest.raises(IndexError):
        data[6]


def test_what_samplers_and_metrics_ask_for():
    data = dataset(metainfo={'classes': ('a', 'b', 'c')})
    assert data.metainfo == {'classes': ('a', 'b', 'c')}
    assert data.get_gt_labels().tolist() == [0, 1, 2, 0, 1, 2]
    assert data.get_cat_ids(4) == [1]
    assert data.get_data_info(-1) == {'sample_idx': 5, 'img_shape': (7, 5), 'gt_label': 2}


def test_a_loader_gives_what_mmpretrains_own_pipeline_gives():
    images = pictures(6, 32, 32)
    ours = InMemoryDataset(images, np.arange(6), device='cpu')
    pack = Compose([TRANSFORMS.build({'type': 'PackInputs'})])
    bgr = images[:, ::-1].transpose(0, 2, 3, 1)  # as MMCV reads pictures
    theirs = [
        pack({'img': np.ascontiguousarray(x), 'gt_label': i, 'img_shape': (32, 32)})
        for i, x in enumerate(bgr)
    ]
    from_rgb = ClsDataPreprocessor(mean=MEAN, std=STD, to_rgb=False)
    from_bgr = ClsDataPreprocessor(mean=MEAN, std=STD, to_rgb=True)
    pairs = zip(loader(ours), loader(theirs, collate='pseudo_collate'), strict=True)
    for batch, expected in pairs:
        batch, expected = from_rgb(batch, True), from_bgr(expected, True)
        assert torch.equal(batch['inputs'], expected['inputs'])
        for mine, other in zip(batch['data_samples'], expected['data_samples'], strict=True):
            assert torch.equal(mine.gt_label, other.gt_label)
            assert mine.img_shape == other.img_shape


def test_a_loader_walks_over_all_samples_and_shuffles_by_epoch():
    batches = loader(dataset(10), sampler={'type': 'DefaultSampler', 'shuffle': True})
    assert [len(batch['data_samples']) for batch in batches] == [4, 4, 2]
    order = [s.sample_idx for batch in batches for s in batch['data_samples']]
    assert sorted(order) == [*range(10)]
    assert order != [*range(10)]


def test_epochs_differ_and_the_same_seed_repeats_them():
    batches = loader(dataset(augment=True), batch_size=6)

    def epoch(number, seed=0):
        runner = SimpleNamespace(seed=seed, epoch=number, rank=0)
        EpochSeedHook().before_train_epoch(runner)
        return next(iter(batches))['inputs']

    first = epoch(0)
    assert not torch.equal(first, epoch(1))
    assert not torch.equal(first, epoch(0, seed=1))
    assert torch.equal(first, epoch(0))


def test_worker_processes_may_serve_data_on_the_cpu():
    batches = [*loader(dataset(), num_workers=1)]
    np.testing.assert_array_equal(batches[1]['inputs'], pictures()[4:])
    assert [s.gt_label.tolist() for s in batches[1]['data_samples']] == [[1], [2]]


def test_worker_processes_cannot_serve_data_elsewhere(monkeypatch):
    data = dataset(device='meta')
    data.__getitems__([0])  # in the main process
    # As in a worker; a real one that fails delays PyTorch's clean-up by five seconds.
    monkeypatch.setattr(in_memory, 'get_worker_info', lambda: SimpleNamespace(num_workers=3))
    with pytest.raises(RuntimeError, match=r'expected 0, as the images are on meta .* got 3'):
        data.__getitems__([0])
    dataset(device='cpu').__getitems__([0])


def test_images_go_to_the_accelerator_unless_told_otherwise(monkeypatch):
    monkeypatch.setattr(in_memory, 'get_device', lambda: 'meta')
    assert dataset(device=None).images.device.type == 'meta'
    assert dataset(device='cpu').images.device.type == 'cpu'


def test_a_collate_function_for_lists_is_refused():
    for collate in ('pseudo_collate', 'default_collate'):
        with pytest.raises(TypeError, match=r"collate_fn=dict\(type='mmkd_batch_collate'\)"):
            next(iter(loader(dataset(), collate=collate)))
    with pytest.raises(KeyError, match='nothing'):
        dataset().__getitems__([0])['nothing']


def test_other_data_sets_are_refused_by_the_collate_function():
    with pytest.raises(TypeError, match="got a list; use 'pseudo_collate'"):
        pass_batch_on([dataset()[0]])


def test_a_subset_of_torch_gives_finished_batches_too():
    part = DataLoader(Subset(dataset(), [5, 3, 1]), batch_size=2, collate_fn=pass_batch_on)
    assert [s.sample_idx for batch in part for s in batch['data_samples']] == [5, 3, 1]


def test_unlabeled_samples():
    data = dataset(with_labels=False)
    batch = data.__getitems__([0, 4])
    assert [s.sample_idx for s in batch['data_samples']] == [0, 4]
    assert not any('gt_label' in s for s in batch['data_samples'])
    out = ClsDataPreprocessor(mean=MEAN, std=STD)(copy.copy(batch), True)
    assert not any('gt_label' in s for s in out['data_samples'])
    assert data.get_cat_ids(0) == []
    assert data.get_data_info(1) == {'sample_idx': 1, 'img_shape': (7, 5)}
    with pytest.raises(ValueError, match='InMemoryDataset: has no labels'):
        data.get_gt_labels()
    never = InMemoryDataset(pictures(), device='cpu')
    assert 'gt_label' not in never[0]['data_samples']


LABELS = np.array([0] * 30 + [1] * 20 + [2] * 5)


@pytest.mark.parametrize(
    ('num_samples', 'counts'), [(1, [1]), (3, [1, 1, 1]), (11, [4, 4, 3]), (45, [20, 20, 5])]
)
def test_a_subset_is_balanced(num_samples, counts):
    data = dataset(55, LABELS, num_samples=num_samples)
    assert np.bincount(data.get_gt_labels()).tolist() == counts
    assert len(data) == num_samples


def test_subsets_are_seeded_nested_and_keep_each_label_with_its_image():
    everything = {image.tobytes(): label for image, label in zip(pictures(55), LABELS, strict=True)}

    def chosen(**options):
        data = dataset(55, LABELS, **options)
        keys = [image.numpy().tobytes() for image in data.images]
        assert [everything[key] for key in keys] == data.get_gt_labels().tolist()
        assert len({*keys}) == len(data)
        return {*keys}

    assert chosen(num_samples=9) == chosen(num_samples=9) < chosen(num_samples=20)
    assert chosen(num_samples=9) != chosen(num_samples=9, seed=1)
    np.testing.assert_array_equal(dataset(55, LABELS, num_samples=55).images, pictures(55))
    # Left out after the choice: a labeled and an unlabeled subset hold the same images.
    unlabeled = dataset(55, LABELS, num_samples=9, with_labels=False)
    assert {x.numpy().tobytes() for x in unlabeled.images} == chosen(num_samples=9)


def test_a_subset_of_unlabeled_images_is_random():
    some = InMemoryDataset(pictures(55), num_samples=10, device='cpu').images
    assert len(some) == 10
    assert not np.array_equal(some, pictures(55)[:10])


@pytest.mark.parametrize(
    ('error', 'message', 'arguments'),
    [
        (
            TypeError,
            'images: expected uint8, got torch.float32',
            {'images': torch.zeros(2, 3, 4, 4)},
        ),
        (ValueError, r'got \(2, 1, 4, 4\)', {'images': np.zeros((2, 1, 4, 4), np.uint8)}),
        (ValueError, r'got \(3, 4, 4\)', {'images': np.zeros((3, 4, 4), np.uint8)}),
        (ValueError, 'N at least 1', {'images': np.zeros((0, 3, 4, 4), np.uint8), 'labels': []}),
        (TypeError, 'labels: expected integers, got torch.float64', {'labels': np.zeros(6)}),
        (TypeError, 'labels: expected integers, got torch.bool', {'labels': [True] * 6}),
        (ValueError, r'labels: expected shape \(6,\).* got \(5,\)', {'labels': np.arange(5)}),
        (ValueError, 'crop_padding: expected at least 0 pixels, got -1', {'crop_padding': -1}),
        (ValueError, 'num_samples: expected 1 to 6.* got 7', {'num_samples': 7}),
        (ValueError, 'num_samples: expected 1 to 6.* got 0', {'num_samples': 0}),
        (ValueError, 'seed: expected a non-negative integer, got -1', {'seed': -1}),
    ],
)
def test_errors(error, message, arguments):
    with pytest.raises(error, match=message):
        InMemoryDataset(**{'images': pictures(), 'labels': np.arange(6), **arguments})


def test_pseudo_collate_still_joins_single_samples():
    joined = pseudo_collate([dataset()[0], dataset()[1]])
    out = ClsDataPreprocessor(mean=MEAN, std=STD)(joined)
    expected = (torch.from_numpy(pictures()[:2]).float() - torch.tensor(MEAN).view(3, 1, 1)) / (
        torch.tensor(STD).view(3, 1, 1)
    )
    torch.testing.assert_close(out['inputs'], expected)
