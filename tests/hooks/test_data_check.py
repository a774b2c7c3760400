import json
from types import SimpleNamespace

import pytest
from mmdet.datasets import CocoDataset
from mmengine.dataset import BaseDataset, ClassBalancedDataset, ConcatDataset, RepeatDataset
from torch import nn
from torch.utils.data import Subset

from mmkd.datasets.explained_errors import explain_empty_datasets
from mmkd.hooks import DataCheckHook

CATEGORIES = ('cat', 'dog', 'bird')


@pytest.fixture
def coco(tmp_path):
    """Builds a CocoDataset of one 20 x 20 image with one box of the first category."""

    def build(classes=CATEGORIES, *, categories=CATEGORIES, name='train.json', images=1, **options):
        path = tmp_path / name
        box = {'bbox': [0, 0, 9, 9], 'area': 81, 'iscrowd': 0}
        content = {
            'images': [
                {'id': i, 'file_name': f'{i}.jpg', 'height': 20, 'width': 20} for i in range(images)
            ],
            'annotations': [
                {'id': i + 1, 'image_id': i, 'category_id': 1, **box} for i in range(images)
            ],
            'categories': [{'id': i, 'name': name} for i, name in enumerate(categories, 1)],
        }
        path.write_text(json.dumps(content))
        options |= {'metainfo': {'classes': classes}, 'data_prefix': {'img': ''}}
        return CocoDataset(ann_file=str(path), **options)

    return build


def head(num_classes):
    module = nn.Identity()
    module.num_classes = num_classes
    return module


def detector(num_classes=3, **modules):
    return nn.ModuleDict({'bbox_head': head(num_classes), 'rpn_head': head(1), **modules})


def check(dataset, model=None, stage='train'):
    runner = SimpleNamespace(
        model=model or detector(),
        val_loop=None,
        **{f'{stage}_dataloader': SimpleNamespace(dataset=dataset)},
    )
    getattr(DataCheckHook(), f'before_{stage}')(runner)


def complaint(*args, **kwargs):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each test reads the message
        check(*args, **kwargs)
    return str(error.value)


def test_a_fitting_data_set_passes_without_reading_its_file_again(coco, tmp_path):
    dataset = coco()
    (tmp_path / 'train.json').unlink()
    check(dataset)


def test_lists_missing_classes_with_close_matches_and_the_categories(coco):
    message = complaint(coco(classes=('cat', 'dogs', 'zebra')))
    assert message.startswith('train_dataloader: ')
    assert "train.json: has no category named 'dogs' (did you mean 'dog'?), 'zebra', so" in message
    assert "its categories are 'cat', 'dog', 'bird';" in message
    assert 'bbox_head' not in message  # right or wrong: not known before the names are


def test_a_long_list_of_missing_classes_is_cut(coco):
    message = complaint(coco(classes=CocoDataset.METAINFO['classes'], name='own.json'))
    assert ', ... (77 in all), so' in message  # 80 classes less cat, dog and bird
    assert 'toothbrush' not in message


@pytest.mark.parametrize(
    ('classes', 'categories', 'found'),
    [(('cat', 'cat'), CATEGORIES, 1), (('cat',), ['cat'] * 2, 2)],
)
def test_repeated_names(coco, classes, categories, found):
    message = complaint(coco(classes=classes, categories=categories))
    assert f'one category for each of the {len(classes)} classes, got {found};' in message


def test_classes_given_as_a_string(coco):
    message = complaint(coco(classes='cat'))
    assert "expected a tuple of names, got the string 'cat'; write classes=('cat',)" in message


@pytest.mark.parametrize(
    ('model', 'key'),
    [
        (detector(80), 'model.bbox_head'),
        (
            nn.ModuleDict({'roi_head': nn.ModuleDict({'mask_head': head(80)})}),
            'model.roi_head.mask_head',
        ),
        (
            nn.ModuleDict(
                {'roi_head': nn.ModuleDict({'bbox_head': nn.ModuleList([head(3), head(80)])})}
            ),
            'model.roi_head.bbox_head.1',
        ),
    ],
)
def test_names_the_head_and_the_key_to_change(coco, model, key):
    message = complaint(coco(), model)
    assert f'{key} (Identity): has num_classes=80, but' in message
    assert 'train.json is read with 3 classes (cat, dog, bird)' in message
    assert f'set {key}.num_classes=3' in message
    assert message.count('num_classes=80') == 1


class Distillation(nn.Module):
    def __init__(self, student, teacher):
        super().__init__()
        self.architecture = student
        self.teacher = teacher


def test_of_a_distillation_algorithm_only_the_student_is_checked(coco):
    check(coco(), Distillation(detector(3), detector(80)))
    message = complaint(coco(), Distillation(detector(80), detector(3)))
    assert 'set model.architecture.bbox_head.num_classes=3' in message


@pytest.mark.parametrize(
    'other',
    [
        {'semantic_head': head(183)},
        {'rpn_head': nn.ModuleDict({'stages': nn.ModuleList([head(1)])})},
        {'teacher_model': detector(80)},
        {'backbone': head(1000)},
        {'0': head(1000)},
    ],
)
def test_modules_that_do_not_classify_the_data_set(coco, other):
    check(coco(), detector(3, **other))


def test_an_open_vocabulary_head_may_have_any_number_of_classes(coco):
    check(coco(return_classes=True), detector(256))


def test_looks_into_wrappers(coco):
    good, bad = coco(), coco(name='other.json')
    bad.cat_ids = bad.cat_ids[:2]  # as if the file lacked one: wrappers demand equal metainfo
    for wrapped in (
        RepeatDataset(bad, times=2),
        ClassBalancedDataset(bad, oversample_thr=0.1),
        Subset(ConcatDataset([good, bad]), [0]),
    ):
        message = complaint(wrapped)
        assert 'other.json' in message
        assert 'train.json' not in message


def test_everything_wrong_is_listed_at_once(coco):
    pair = ConcatDataset([coco(), coco(name='other.json')])
    model = nn.ModuleDict({'bbox_head': head(80), 'mask_head': head(90)})
    message = complaint(pair, model)
    assert all(message.count(name) == 2 for name in ('train.json', 'other.json'))
    assert all(message.count(f'has num_classes={n}') == 2 for n in (80, 90))


def test_a_run_stops_before_its_first_iteration(toy_runner, coco):
    runner = toy_runner(
        loader={'dataset': coco(classes=('cats',))}, custom_hooks=[{'type': 'mmkd.DataCheckHook'}]
    )
    with pytest.raises(ValueError, match=r"train_dataloader: [\s\S]*did you mean 'cat'"):
        runner.train()
    assert runner.iter == 0


def test_other_data_sets_are_left_alone():
    check(SimpleNamespace(metainfo={'classes': ('a',)}))
    check([1, 2, 3])


@pytest.mark.parametrize('stage', ['val', 'test'])
def test_evaluation_checks_its_own_set(coco, stage):
    assert complaint(coco(), detector(80), stage).startswith(f'{stage}_dataloader: ')


def test_training_checks_both_sets_and_each_once(coco):
    runner = SimpleNamespace(
        model=detector(),
        val_loop=object(),
        train_dataloader=SimpleNamespace(dataset=coco()),
        val_dataloader=SimpleNamespace(dataset=coco(name='val.json')),
    )
    hook = DataCheckHook()
    hook.before_train(runner)
    runner.model = detector(80)
    hook.before_val(runner)  # not again
    with pytest.raises(ValueError, match='train_dataloader'):
        DataCheckHook().before_train(runner)
    runner.train_dataloader.dataset = []
    with pytest.raises(ValueError, match=r'val_dataloader: [\s\S]*val\.json'):
        DataCheckHook().before_train(runner)


@pytest.mark.parametrize(
    ('made', 'expected'),
    [
        ({'images': 0}, 'keeps none of 0 images and 0 annotations'),
        ({'indices': 0}, 'indices=0'),
        (
            {'images': 2, 'filter_cfg': {'min_size': 32}},
            "none of 2 images and 2 annotations with filter_cfg={'min_size': 32}, indices=None",
        ),
        (
            {'classes': ('Cat',), 'filter_cfg': {'filter_empty_gt': True}},
            "classes=('Cat',); FILE: has no category named 'Cat' (did you mean 'cat'?)",
        ),
    ],
)
def test_an_empty_data_set_is_explained_where_it_is_built(coco, tmp_path, made, expected):
    dataset = coco(lazy_init=True, **made)
    with pytest.raises(ValueError) as error, explain_empty_datasets():  # noqa: PT011
        dataset.full_init()
    message = str(error.value)
    assert f"expected at least one image, but CocoDataset of '{tmp_path}/train.json'" in message
    assert expected.replace('FILE', str(tmp_path / 'train.json')) in message


def test_an_empty_data_set_that_mmengine_lets_through_is_explained_by_the_hook(coco):
    message = complaint(coco(images=0, serialize_data=False))
    assert 'expected at least one image' in message


def test_the_explanation_ends_with_its_block_even_on_an_error(coco):
    stock = BaseDataset._serialize_data
    with pytest.raises(ValueError, match='at least one image'), explain_empty_datasets():
        coco(images=0)
    assert BaseDataset._serialize_data is stock
    with pytest.raises(ValueError, match='need at least one array'):
        coco(images=0)
    with explain_empty_datasets():
        assert len(coco()) == 1


def test_an_empty_data_set_that_is_not_coco(tmp_path):
    path = tmp_path / 'list.json'
    path.write_text(json.dumps({'metainfo': {}, 'data_list': []}))
    with (
        explain_empty_datasets(),
        pytest.raises(ValueError, match=r"BaseDataset of '.*list\.json'"),
    ):
        BaseDataset(ann_file=str(path))
