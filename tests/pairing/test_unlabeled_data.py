"""A folder without annotations in a plan: which images, which labels, which mistakes."""

import shutil
from pathlib import Path

import pytest
from helpers import RETINANET
from tiny_pairs import CLASSES, coco, pair, write_class_folders, write_config, write_models

import mmkd
from mmkd.api.running import load_config
from mmkd.pairing.inspection.class_names_of import same_classes

NAMED = {'dataset': {'metainfo': {'classes': ('Square', 'hat', 'disc')}}}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Tiny models; the classes of the teacher ``named`` have names."""
    folder = tmp_path_factory.mktemp('models')
    write_models(folder)
    write_config(folder / 'named.py', RETINANET, train_dataloader=NAMED)
    shutil.copy(folder / 'big_retinanet.pth', folder / 'named.pth')
    return folder


@pytest.fixture
def photos(tiny_coco, tmp_path):
    """Two new pictures beside a copy of a labeled one, and a text."""
    labeled = tiny_coco(*CLASSES) / 'images'
    folder = tmp_path / 'my photos'
    folder.mkdir()
    for source, target in (('0.png', '0.png'), ('1.png', 'new.png'), ('2.png', '3.png')):
        shutil.copy(labeled / source, folder / target)
    (folder / 'notes.txt').write_text('text')
    return folder


@pytest.fixture
def plan(folder, tiny_coco, tmp_path):
    """Function: a plan of the tiny detectors with unlabeled images."""

    def make(unlabeled, *, teacher='named', method='pkd', **more):
        arguments = {**pair(folder, teacher), 'data': coco(tiny_coco(*CLASSES)), **more}
        return mmkd.plan(
            **arguments, method=method, unlabeled=unlabeled, work_dir=tmp_path / 'runs'
        )

    return make


def decided(plan, topic):
    return [text for name, text in plan.decisions if name == topic]


def test_new_images_join_each_step(plan, photos):
    planned = plan(photos)
    cfg = load_config(str(planned.write()))
    assert planned.work_dir.name.endswith('_unlabeled-my photos')
    assert decided(planned, 'unlabeled') == [
        f'2 images of {photos}; left out, as the training or validation data has them: 1; '
        'no images: 1 .txt',
        '2 of them in each step',
    ]
    assert decided(planned, 'labels') == [
        "the teacher's boxes of Square -> square, disc; left out, other classes of the teacher: 1"
    ]
    assert cfg.train_cfg.type == 'mmkd.UnlabeledTrainLoop'
    loader = cfg.train_cfg.unlabeled_dataloader
    assert loader.batch_size == 2
    assert Path(loader.dataset.ann_file).read_text() == '3.png\nnew.png\n'
    assert cfg.model.pseudo_labels.labels == {0: 1, 2: 0}
    assert planned.check().startswith('one training step and one validation batch; warning: val_')


def test_the_teacher_is_evaluated_on_the_classes_of_the_data(plan, photos):
    planned = plan(photos)
    assert decided(planned, 'evaluation') == [
        'the teacher has 3 classes, the data 2; of the teacher, those of the same names count'
    ]
    hook = load_config(str(planned.write())).custom_hooks[-1]
    assert hook == {'type': 'mmkd.TeacherEvaluationHook', 'labels': {0: 1, 2: 0}}
    unnamed = plan({'images': photos, 'weight': 0}, teacher='big_retinanet')
    assert decided(unnamed, 'evaluation') == [
        'the student alone: the teacher has 3 classes, the data 2'
    ]


def test_options(plan, photos):
    options = {
        'images': photos,
        'batch_size': 1,
        'score': 0.6,
        'weight': 2,
        'classes': {'hat': 'disc'},
    }
    cfg = load_config(str(plan(options).write()))
    assert cfg.train_cfg.unlabeled_dataloader.batch_size == 1
    assert cfg.model.pseudo_labels == {'score': 0.6, 'weight': 2, 'labels': {0: 1, 1: 0, 2: 0}}


def test_teacher_without_names_serves_features_alone(plan, photos):
    with pytest.raises(ValueError, match=r'names of the classes in the config of the teacher'):
        plan(photos, teacher='big_retinanet')
    planned = plan({'images': photos, 'weight': 0}, teacher='big_retinanet')
    assert decided(planned, 'labels') == ['for features alone, as the weight of the labels is 0']
    assert planned.text.count('pseudo_labels=dict(weight=0)') == 1


def test_the_student_alone_does_without(plan, photos):
    planned = plan(photos, method='student')
    assert 'unlabeled' not in planned.work_dir.name
    assert 'UnlabeledTrainLoop' not in planned.text
    assert decided(planned, 'unlabeled') == [
        'none, as the student alone has no teacher to label them'
    ]


def test_held_out_images_do_not_come_back(plan, tiny_coco):
    root = tiny_coco(*CLASSES)
    with pytest.raises(ValueError, match=r'that are not in the training or validation data'):
        plan(root / 'images', data={'train': (root / 'annotations.json', root / 'images')})


def test_classifiers_take_images_for_the_distillation_alone(folder, tiny_coco, photos, tmp_path):
    images = sorted((tiny_coco(*CLASSES) / 'images').glob('*.png'))
    write_class_folders(tmp_path / 'data', images)
    arguments = pair(folder, 'big', 'small', data=tmp_path / 'data', work_dir=tmp_path / 'runs')
    planned = mmkd.plan(**arguments, method='fkd', unlabeled=photos)
    cfg = load_config(str(planned.write()))
    assert cfg.model.pseudo_labels == {'weight': 0.0, 'labels': {}}  # 10 and 2 classes
    assert 'by_epoch' not in cfg.train_cfg
    assert planned.check() == 'one training step and one validation batch'
    with pytest.raises(ValueError, match=r"expected some of \['images', 'batch_size'\] for class"):
        mmkd.plan(**arguments, unlabeled={'images': photos, 'score': 0.5})


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'images': 'nowhere'}, r'unlabeled: no such folder: nowhere'),
        ({'images': ''}, r'unlabeled: expected a folder, or dict\(images=FOLDER, \.\.\.\), got'),
        (5, r'unlabeled: expected a folder, or dict\(images=FOLDER, \.\.\.\), got 5'),
        ({'scores': 0.5}, r"expected some of .* for detectors, got \['scores'\]; did you mean sco"),
        ({'score': 1}, r'unlabeled\.score: expected a score in \(0, 1\), got 1'),
        ({'score': 'high'}, r"unlabeled\.score: expected a score in \(0, 1\), got 'high'"),
        ({'weight': -1}, r'unlabeled\.weight: expected a finite number >= 0, got -1'),
        ({'batch_size': 0}, r'unlabeled\.batch_size: expected a positive integer, got 0'),
        ({'classes': 'disc'}, r"unlabeled\.classes: expected dict\(.*got 'disc'"),
        ({'classes': {'hut': 'disc'}}, r"classes of the teacher, got 'hut'; did you mean hat\?"),
        ({'classes': {'hat': 'disk'}}, r"classes of the student, got 'disk'; did you mean disc\?"),
    ],
)
def test_mistakes(options, message, plan, photos):
    if isinstance(options, dict):
        options = {'images': photos, **options}
    with pytest.raises((ValueError, TypeError, FileNotFoundError), match=message):
        plan(options)


def test_empty_folder(plan, tmp_path):
    (tmp_path / 'empty').mkdir()
    with pytest.raises(ValueError, match=r'unlabeled: expected images \(\.bmp, .*got none'):
        plan(tmp_path / 'empty')


def test_a_class_that_the_teacher_does_not_know(plan, tiny_coco, photos):
    with pytest.raises(ValueError, match=r"knows the classes \['ring'\] .*did you mean|TEACHER_NA"):
        plan(photos, data=coco(tiny_coco('disc', 'ring')))


def test_names_are_compared_as_people_write_them():
    student, teacher = ['traffic light', 'Cat'], ['Traffic_Light', 'dog', 'cat']
    assert same_classes(student, teacher) == {0: 0, 2: 1}
    assert same_classes(student, teacher, {'dog': 'Cat'}) == {0: 0, 1: 1, 2: 1}
    assert same_classes([], teacher) == same_classes(student, []) == {}
