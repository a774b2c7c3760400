import json
from types import SimpleNamespace

import cv2
import numpy as np
import pytest
from mmdet.datasets import CocoDataset
from mmdet.evaluation import CocoMetric
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
        options = {'metainfo': {'classes': classes}, 'data_prefix': {'img': ''}} | options
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


# --- annotations


@pytest.fixture
def warnings(monkeypatch):
    found = []
    monkeypatch.setattr('mmkd.hooks.data_check._warn', found.append)
    return found


def change(path, edit):
    content = json.loads(path.read_text())
    edit(content)
    path.write_text(json.dumps(content))


@pytest.fixture
def changed(coco, tmp_path):
    """Function: the data set after an edit of its file."""

    def build(edit, name='train.json', **options):
        coco(name=name, lazy_init=True, images=4)
        change(tmp_path / name, edit)
        options = {'metainfo': {'classes': CATEGORIES}, 'data_prefix': {'img': ''}} | options
        return CocoDataset(ann_file=str(tmp_path / name), serialize_data=False, **options)

    return build


def test_a_few_lost_annotations_are_told_and_most_stop(changed, warnings):
    check(changed(lambda c: c['annotations'][0].update(bbox=[50, 0, 9, 9])))
    (warning,) = warnings
    assert warning.startswith('train_dataloader: ')
    assert '1 boxes outside of their image (first: annotation 1, bbox [50, 0, 9, 9]' in warning
    lost = changed(lambda c: [a.update(category_id='1') for a in c['annotations']])
    assert '4 of 4 are lost: 4 annotations of no category of the file' in complaint(lost)


def test_no_annotations_at_all(changed, coco):
    nothing = changed(lambda c: c.pop('annotations'))
    assert 'expected annotations of the classes, got none' in complaint(nothing)
    check(ConcatDataset([coco(name='labeled.json'), nothing]))  # such as semi-supervised sets


def test_images_without_annotations_beside_them_are_legitimate(changed, warnings):
    check(changed(lambda c: c.update(annotations=c['annotations'][:1])))
    assert not warnings


def test_a_categorys_name_that_stands_twice(changed):
    twice = changed(lambda c: c['categories'][0].update(name='dog'))
    assert "has no category named 'cat'" in complaint(twice)


def test_masks_are_needed_where_they_are_read(changed):
    pipeline = [{'type': 'mmdet.LoadAnnotations', 'with_mask': True}]
    boxes = changed(lambda c: None, pipeline=pipeline)
    assert 'expected a segmentation in each annotation, got 4' in complaint(boxes)


@pytest.mark.parametrize(('wrong', 'stops'), [(1, False), (4, True)])
def test_sizes_of_images_are_compared_with_a_few_files(changed, warnings, tmp_path, wrong, stops):
    for index in range(4):
        cv2.imwrite(str(tmp_path / f'{index}.jpg'), np.zeros((20, 30 if index < wrong else 20, 3)))
    pipeline = [{'type': 'mmdet.LoadImageFromFile'}]
    dataset = changed(lambda c: None, pipeline=pipeline, data_prefix={'img': str(tmp_path)})
    message = complaint(dataset) if stops else (check(dataset), warnings[0])[1]
    assert f'of 4 images read, {wrong} differ: {tmp_path}/0.jpg has 30 x 20 pixels, the' in message
    assert 'annotations say 20 x 20' in message


def check_both(train, val, metrics=()):
    runner = SimpleNamespace(
        model=detector(),
        val_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=metrics)),
        train_dataloader=SimpleNamespace(dataset=train),
        val_dataloader=SimpleNamespace(dataset=val),
    )
    DataCheckHook().before_train(runner)


def test_classes_have_the_same_order_in_validation(coco):
    other = coco(classes=('dog', 'cat', 'bird'), name='val.json')
    message = r"label 0 is 'cat' in training and 'dog' here"
    with pytest.raises(ValueError, match=message):
        check_both(coco(), other)
    with pytest.raises(ValueError, match=message):
        check_both(RepeatDataset(coco(), 2), ConcatDataset([other]))
    check_both(coco(), coco(categories=CATEGORIES[::-1], name='val.json'))  # mapped by name


def test_images_in_training_and_validation_are_told(coco, changed, warnings):
    renamed = changed(
        lambda c: [image.update(file_name=f'val_{image["id"]}.jpg') for image in c['images']],
        name='val.json',
    )
    check_both(coco(), renamed)
    assert not warnings
    check_both(coco(images=3), coco(images=3, name='val.json'))
    assert '3 images are in the training data, too' in warnings[0]
    check_both(coco(indices=[0]), coco(name='val.json', data_prefix={'img': '/other/'}))
    assert len(warnings) == 1


def test_the_evaluators_file_is_that_of_the_data(coco, changed, tmp_path):
    train, val = coco(), coco(name='val.json')
    check_both(train, val, [CocoMetric(str(tmp_path / 'val.json'))])
    changed(lambda c: [image.update(file_name='x.jpg') for image in c['images']], name='other.json')
    with pytest.raises(ValueError, match=r"image 0 is 0\.jpg there and 'x\.jpg' here"):
        check_both(train, val, [CocoMetric(str(tmp_path / 'other.json'))])
    changed(lambda c: c['categories'].pop(), name='few.json')
    with pytest.raises(ValueError, match=r'few\.json\): expected the classes .* lacks bird'):
        check_both(train, val, [CocoMetric(str(tmp_path / 'few.json'))])


def test_a_test_set_without_annotations_is_legitimate_where_nothing_is_compared(changed, tmp_path):
    blind = changed(lambda c: c.pop('annotations'), test_mode=True)
    writes = CocoMetric(blind.ann_file, format_only=True, outfile_prefix=str(tmp_path / 'out'))
    runner = SimpleNamespace(
        model=detector(),
        test_loop=SimpleNamespace(evaluator=SimpleNamespace(metrics=[writes])),
        test_dataloader=SimpleNamespace(dataset=blind),
    )
    DataCheckHook().before_test(runner)
    runner.test_loop.evaluator.metrics = [CocoMetric(blind.ann_file)]
    with pytest.raises(ValueError, match='expected annotations of the classes, got none'):
        DataCheckHook().before_test(runner)
