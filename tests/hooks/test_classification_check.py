from types import SimpleNamespace

import numpy as np
import pytest
from mmengine.dataset import ConcatDataset, DefaultSampler, RepeatDataset
from mmpretrain.datasets import CustomDataset, MultiLabelDataset
from torch import nn
from torch.utils.data import BatchSampler, DataLoader, Subset

from mmkd.datasets import CURSampler, InMemoryDataset, SURSampler
from mmkd.datasets.explained_errors import explain_empty_datasets
from mmkd.datasets.superclass_file import encode_superclasses
from mmkd.hooks import DataCheckHook

CLASSES = ('cat', 'dog', 'bird')


def in_memory(labels=(0, 1, 2), classes=CLASSES, **options):
    images = np.zeros((len(labels), 3, 4, 4), np.uint8)
    metainfo = {'classes': classes} if classes else None
    return InMemoryDataset(images, labels, metainfo=metainfo, device='cpu', **options)


@pytest.fixture
def custom(tmp_path):
    """Builds MMPretrain's data set of a list of files and labels; the files do not exist."""

    def build(labels=(0, 1, 2), name='list.txt', **options):
        path = tmp_path / name
        path.write_text(''.join(f'{i}.jpg {label}\n' for i, label in enumerate(labels)))
        options = {'metainfo': {'classes': CLASSES}, **options}
        return CustomDataset(ann_file=str(path), data_prefix=str(tmp_path), **options)

    return build


def classifier(num_classes=3):
    head = nn.Identity()
    head.num_classes = num_classes
    return nn.ModuleDict({'head': head})


class Distillation(nn.Module):
    def __init__(self, student, teacher):
        super().__init__()
        self.architecture = student
        self.teacher = teacher


def check(dataset, model=None, stage='train'):
    check_loader(SimpleNamespace(dataset=dataset), model, stage)


def check_loader(loader, model=None, stage='train'):
    runner = SimpleNamespace(
        model=model or classifier(), val_loop=None, **{f'{stage}_dataloader': loader}
    )
    getattr(DataCheckHook(), f'before_{stage}')(runner)


def complaint(*args, **kwargs):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each test reads the message
        check(*args, **kwargs)
    return str(error.value)


def test_fitting_data_sets_pass(custom):
    check(in_memory())
    check(in_memory(labels=(2, 2)))  # a class may have no sample
    check(custom())
    check(custom(), Distillation(classifier(3), classifier(80)))


@pytest.mark.parametrize('stage', ['train', 'val', 'test'])
def test_a_label_without_an_output(custom, stage):
    for dataset in (in_memory((0, 1, 3, 2, 4)), custom((0, 1, 3, 2, 4))):
        message = complaint(dataset, stage=stage)
        assert message.startswith(f'{stage}_dataloader: ')
        assert f'{type(dataset).__name__}: label 3 of sample 2 (and 1 more samples)' in message
        assert 'outside [0, 3), the outputs of model.head; ' in message


def test_a_negative_label(custom):
    assert 'label -1 of sample 1 is outside' in complaint(in_memory((0, -1)))
    assert 'label -1 of sample 1 is outside' in complaint(custom((0, -1)))


def test_a_head_with_another_number_of_classes(custom):
    for dataset, source in ((in_memory(), 'InMemoryDataset'), (custom(), 'list.txt')):
        for count in (2, 10):
            message = complaint(dataset, classifier(count))
            assert f'model.head (Identity): has num_classes={count}' in message
            assert f'{source} is read with 3 classes (cat, dog, bird)' in message
            assert 'set model.head.num_classes=3' in message
            assert 'label' not in message  # the same mistake
    assert 'metainfo=dict(classes=...)' in complaint(custom(), classifier(2))
    assert 'metainfo' not in complaint(in_memory(), classifier(2))  # cannot be set by a user


def test_without_names_of_classes_the_labels_are_checked_all_the_same():
    check(in_memory(classes=None), classifier(10))
    assert 'label 2 of sample 2' in complaint(in_memory(classes=None), classifier(2))


def test_of_a_distillation_algorithm_the_student_is_checked():
    model = Distillation(classifier(2), classifier(3))
    assert 'set model.architecture.head.num_classes=3' in complaint(in_memory(), model)


def test_a_model_without_a_classifying_head():
    check(in_memory((0, 99)), nn.ModuleDict({'head': nn.Identity()}))


def test_several_labels_an_image_are_let_through(tmp_path):
    path = tmp_path / 'labels.json'
    path.write_text(
        '{"metainfo": {"classes": ["a"]}, "data_list": [{"img_path": "a", "gt_label": [0, 7]},'
        ' {"img_path": "b", "gt_label": []}]}'
    )
    check(MultiLabelDataset(ann_file=str(path)))


def test_unlabeled_images_are_let_through(tmp_path):
    check(in_memory(with_labels=False), classifier(100))
    (tmp_path / 'a.jpg').touch()
    check(CustomDataset(data_prefix=str(tmp_path), with_label=False), classifier(100))


def test_looks_into_wrappers(custom):
    good, bad = custom(), custom((0, 5), name='other.txt')
    for wrapped in (
        RepeatDataset(bad, times=2),
        Subset(ConcatDataset([good, bad]), [0]),
        Subset(in_memory((0, 5)), [0]),
    ):
        message = complaint(wrapped)
        assert message.count('label 5 of sample 1') == 1


def test_an_empty_data_set(custom):
    message = complaint(custom(indices=0, serialize_data=False))
    assert 'dataset: expected at least one image, but CustomDataset of ' in message
    assert "list.txt' keeps none with filter_cfg=None, indices=0" in message
    with explain_empty_datasets(), pytest.raises(ValueError, match='expected at least one image'):
        custom(indices=0)


def test_a_run_stops_before_its_first_iteration(toy_runner):
    runner = toy_runner(
        loader={'dataset': in_memory((0, 9))}, custom_hooks=[{'type': 'mmkd.DataCheckHook'}]
    )
    runner.model.head = classifier(3)['head']
    with pytest.raises(ValueError, match=r'train_dataloader: [\s\S]*label 9 of sample 1'):
        runner.train()
    assert runner.iter == 0


def grouped(kind, folder, dataset, batch_size):
    """A sampler whose batches are of ``batch_size``."""
    if kind == 'CURSampler':
        return CURSampler(dataset, batch_size, num_per_class=2, seed=0)
    labels = dataset.get_gt_labels()
    (folder / 'superclasses.npz').write_bytes(encode_superclasses(labels, labels))
    return SURSampler(dataset, batch_size, folder / 'superclasses.npz', num_per_class=2, seed=0)


@pytest.mark.parametrize('kind', ['CURSampler', 'SURSampler'])
def test_a_sampler_of_another_batch_size(kind, tmp_path):
    dataset = in_memory((0, 0, 1, 1, 2, 2, 2, 2))
    check_loader(DataLoader(dataset, 4, sampler=grouped(kind, tmp_path, dataset, 4)))
    with pytest.raises(ValueError, match='train_dataloader: does not fit') as error:
        check_loader(DataLoader(dataset, 8, sampler=grouped(kind, tmp_path, dataset, 4)))
    expected = f'sampler ({kind}): draws batches of 4, but the loader has batch_size=8; give both'
    assert expected in str(error.value)


def test_a_batch_sampler_is_asked_for_its_size(tmp_path):
    dataset = in_memory((0, 0, 1, 1))
    sampler = grouped('CURSampler', tmp_path, dataset, 4)
    whole, half = (BatchSampler(sampler, size, drop_last=False) for size in (4, 2))
    check_loader(DataLoader(dataset, batch_sampler=whole))
    with pytest.raises(ValueError, match='batches of 4, but the loader has batch_size=2'):
        check_loader(DataLoader(dataset, batch_sampler=half))


def test_samplers_that_draw_no_batches_pass():
    dataset = in_memory()
    check_loader(DataLoader(dataset, 2, sampler=DefaultSampler(dataset)))
    check_loader(DataLoader(dataset, batch_size=None))  # the data set makes the batches


def test_the_sampler_is_listed_with_everything_else(tmp_path):
    dataset = in_memory((0, 0, 7, 7))
    loader = DataLoader(dataset, 2, sampler=grouped('CURSampler', tmp_path, dataset, 4))
    with pytest.raises(ValueError, match='sampler') as error:
        check_loader(loader)
    assert 'label 7 of sample 2 (and 1 more samples)' in str(error.value)
    assert str(error.value).count('\n') == 2


def test_fewer_samples_than_a_batch():
    check_loader(DataLoader(in_memory(), 3, drop_last=True))
    check_loader(DataLoader(in_memory(), 4))
    with pytest.raises(ValueError, match=r'batch_size: expected at most the 3 samples .* got 4'):
        check_loader(DataLoader(in_memory(), 4, drop_last=True))


@pytest.fixture
def folders(tmp_path):
    """Builds MMPretrain's data set of a folder for each class."""

    def build(*names, classes=None, root='train'):
        for name in names:
            (tmp_path / root / name).mkdir(parents=True)
            (tmp_path / root / name / '0.jpg').touch()
        metainfo = {'classes': classes} if classes else None
        return CustomDataset(data_prefix=str(tmp_path / root), metainfo=metainfo)

    return build


def test_classes_of_folders_stand_in_the_order_of_the_folders(folders):
    check(folders('bird', 'cat', 'dog', classes=('bird', 'cat', 'dog')))
    check(folders('n01', 'n02', 'n03', classes=CLASSES, root='codes'))
    other = folders('bird', 'cat', 'dog', classes=CLASSES, root='other')
    assert "label 0 is the folder 'bird', but 'cat' in metainfo.classes" in complaint(other)


def test_folders_are_the_same_in_validation(folders):
    train = folders('bird', 'cat', 'dog')
    val = folders('bird', 'cow', 'cat', root='val')
    runner = SimpleNamespace(
        model=classifier(),
        val_loop=object(),
        train_dataloader=SimpleNamespace(dataset=train),
        val_dataloader=SimpleNamespace(dataset=val),
    )
    with pytest.raises(ValueError, match=r"label 2 is 'dog' in training and 'cow' here"):
        DataCheckHook().before_train(runner)
