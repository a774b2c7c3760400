"""What is written: config text, schedules, image sizes, and data of one's own."""

import json
import shutil
from pathlib import Path

import pytest
from mmengine.config import Config
from tiny_pairs import CLASSES, write_class_folders

from mmkd.models.building import model_config
from mmkd.pairing.writing.config_text import Expression, assignments, docstring
from mmkd.pairing.writing.own_data import class_overrides, data_settings
from mmkd.pairing.writing.resizing import as_size, size_settings
from mmkd.pairing.writing.schedule import epoch_hooks, epoch_settings

# --- text


def test_assignments_are_read_back_and_short():
    value = {
        'type': 'A' * 40,
        'numbers': (1,),
        'none': (),
        'many': [{'scale': (1333, 800), 'name': 'a' * 60, 'flag': None}, "it's"],
        'heads': {'0': {'num_classes': 2}, 'class': 1},
        'lambda': -1.5,
        'largest': float('inf'),
        'empty': {},
    }
    text = assignments({'model': value, 'epochs': 3})
    assert max(map(len, text.splitlines())) <= 100
    cfg = Config.fromstring(text, '.py')
    assert (cfg.model.to_dict(), cfg.epochs) == (value, 3)
    assert assignments({'a': [Expression('*b.c'), 1]}) == 'a = [*b.c, 1]\n'


NASTY = ['"""\nimport os', "'", 'a\\', '{{ fileDirname }}', '{{ _base_.x }}', '#\n', 'ß”{{{']


@pytest.mark.parametrize('text', NASTY)
def test_text_from_data_stays_text(text):
    code = f'{docstring(["title", text])}\n\n{assignments({"classes": (text, text)})}'
    assert Config.fromstring(code, '.py').classes == (text, text)
    namespace = {}
    exec(code, namespace)
    assert namespace['__doc__'] == f'title\n{text}\n'
    assert 'os' not in namespace


# --- schedules and classes


def schedule(*schedulers, epochs=12, **train_cfg):
    """A config with these schedulers."""
    train_cfg = {'max_epochs': epochs, **train_cfg}
    return Config({'train_cfg': train_cfg, 'param_scheduler': [*schedulers]})


WARM_UP = {'type': 'LinearLR', 'by_epoch': False, 'begin': 0, 'end': 500}
STEPS = {'type': 'MultiStepLR', 'milestones': [8, 11], 'begin': 0, 'end': 12}


def test_schedule_is_stretched():
    cosine = {'type': 'CosineAnnealingLR', 'begin': 1, 'T_max': 11, 'end': 10**9}
    cfg = schedule(WARM_UP, STEPS, cosine, val_interval=4)
    settings, changes = epoch_settings(cfg, 24)
    assert settings['train_cfg'] == {'max_epochs': 24}
    warm_up, steps, cosine = settings['param_scheduler']
    assert warm_up == WARM_UP
    assert (steps['milestones'], steps['begin'], steps['end']) == ([16, 22], 0, 24)
    assert (cosine['begin'], cosine['T_max'], cosine['end']) == (2, 22, 10**9)
    assert changes == [
        'LinearLR.end 500 iterations stays: the number of training images is not known',
        'MultiStepLR.milestones [8, 11] -> [16, 22]',
        'MultiStepLR.end 12 -> 24',
        'CosineAnnealingLR.begin 1 -> 2',
        'CosineAnnealingLR.T_max 11 -> 22',
    ]
    assert epoch_settings(cfg, 2)[0]['train_cfg'] == {'max_epochs': 2, 'val_interval': 2}
    assert 'param_scheduler' not in epoch_settings(cfg, 12)[0]


@pytest.mark.parametrize(
    ('epochs', 'expected'),
    [(1, []), (2, [1]), (3, [1, 2]), (4, [2, 3]), (6, [4, 5]), (7, [5, 6]), (24, [16, 22])],
)
def test_milestones_are_distinct_and_inside_the_run(epochs, expected):
    (steps,) = epoch_settings(schedule(STEPS), epochs)[0]['param_scheduler']
    assert steps['milestones'] == expected


@pytest.mark.parametrize(
    ('epochs', 'iterations', 'end'),
    [(6, 132, 79), (None, 132, 158), (12, 7330, 500), (30, 33, 99), (1, 12, 1)],
)
def test_warm_up_of_iterations_takes_at_most_a_tenth(epochs, iterations, end):
    follows = {'type': 'PolyLR', 'by_epoch': False, 'begin': 500}
    settings, changes = epoch_settings(schedule(WARM_UP, follows), epochs, iterations)
    schedulers = settings.get('param_scheduler', [WARM_UP, follows])
    assert schedulers == [{**WARM_UP, 'end': end}, {**follows, 'begin': end}]
    total = iterations * (epochs or 12)
    text = f'LinearLR.end 500 -> {end} iterations, a tenth of the {total} of the run'
    assert changes == ([] if end == 500 else [text])


def test_warm_up_without_an_iteration_is_left_out():
    settings, changes = epoch_settings(schedule(WARM_UP, STEPS), 3, 2)
    assert [each['type'] for each in settings['param_scheduler']] == ['MultiStepLR']
    assert changes[-1] == 'LinearLR left out: too short'


def test_warm_up_of_less_than_an_epoch_is_left_out():
    warm_up = {'type': 'LinearLR', 'begin': 0, 'end': 10}
    cosine = {'type': 'CosineAnnealingLR', 'begin': 10, 'end': 80, 'T_max': 70}
    cfg = schedule(warm_up, cosine, epochs=80)
    one = {**cosine, 'begin': 0, 'end': 1, 'T_max': 1}
    assert epoch_settings(cfg, 1)[0]['param_scheduler'] == [one]
    eight = epoch_settings(cfg, 8)[0]['param_scheduler']
    assert [(s['begin'], s['end']) for s in eight] == [(0, 1), (1, 8)]


def test_other_schedulers_keep_their_shape():
    cfg = schedule(
        {'type': 'CosineAnnealingLR', 'begin': 50, 'end': 100, 'T_max': 50},
        {'type': 'ExponentialLR', 'gamma': 0.99},
        {'type': 'StepLR', 'step_size': 30, 'gamma': 0.1},
        {'type': 'OneCycleLR', 'total_steps': 100, 'eta_max': 1.0},
        {'type': 'CosineRestartLR', 'periods': [40, 60], 'restart_weights': [1, 1]},
        epochs=100,
        dynamic_intervals=[(90, 1)],
    )
    settings, _ = epoch_settings(cfg, 5)
    cosine, exponential, step, cycle, restart = settings['param_scheduler']
    assert cosine['T_max'] == cosine['end'] - cosine['begin'] == 3
    assert exponential['gamma'] ** 5 == pytest.approx(0.99**100)
    assert (step['step_size'], cycle['total_steps'], restart['periods']) == (2, 5, [2, 3])
    assert settings['train_cfg']['dynamic_intervals'] == [(4, 1)]


@pytest.mark.parametrize(
    ('epochs', 'switch', 'last', 'begin'), [(30, 28, 2, 5), (3, 2, 0, 1), (600, 560, 30, 100)]
)
def test_hooks_act_at_their_share(epochs, switch, last, begin):
    hooks = [
        {'type': 'PipelineSwitchHook', 'switch_epoch': 280, 'switch_pipeline': [{'type': 'Pad'}]},
        {'type': 'mmdet.YOLOXModeSwitchHook', 'num_last_epochs': 15},
        {'type': 'EMAHook', 'begin_epoch': 50, 'momentum': 2e-4},
        {'type': 'SwitchRecipeHook', 'schedule': [{'action_epoch': 280}]},
    ]
    stretched, changes = epoch_hooks(hooks, 300, epochs)
    assert [
        stretched[0]['switch_epoch'],
        stretched[1]['num_last_epochs'],
        stretched[2]['begin_epoch'],
        stretched[3]['schedule'][0]['action_epoch'],
    ] == [switch, last, begin, switch]
    assert f'YOLOXModeSwitchHook.num_last_epochs 15 -> {last}' in changes
    assert hooks[0]['switch_epoch'] == 280
    assert stretched[0]['switch_pipeline'] == [{'type': 'Pad'}]


def test_schedule_of_iterations_has_no_epochs():
    cfg = Config({'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': 90000}})
    with pytest.raises(ValueError, match=r'epochs: .* trains by epochs, got one of 90000'):
        epoch_settings(cfg, 3)
    with pytest.raises(ValueError, match=r'epochs: expected a positive whole number, got 0'):
        epoch_settings(Config({'train_cfg': {'max_epochs': 12}}), 0)
    with pytest.raises(ValueError, match=r'epochs: .* trains by epochs, got one of None'):
        epoch_settings(Config({}), 1)
    with pytest.raises(ValueError, match=r'epochs: expected a positive whole number, got 2\.5'):
        epoch_settings(Config({'train_cfg': {'max_epochs': 12}}), 2.5)


@pytest.mark.parametrize(
    ('path', 'count'),
    [
        ('cascade_rcnn/cascade-mask-rcnn_r50_fpn_1x_coco.py', 4),
        ('retinanet/retinanet_r50_fpn_1x_coco.py', 1),
        ('solo/solo_r50_fpn_1x_coco.py', 1),
    ],
)
def test_every_head_learns_the_classes(path, count):
    cfg_path = f'mmdet::{path}'
    before = model_config(cfg_path)[0]
    after = model_config(cfg_path, **class_overrides(before, 2))[0]
    assert str(before).count("'num_classes': 80") == count
    assert "'num_classes': 80" not in str(after)
    assert after.get('rpn_head') == before.get('rpn_head')


# --- image sizes


@pytest.mark.parametrize('size', [0, -1, 1, 10**6, (1,), (1, 2, 3), ('a', 'b'), 2.5])
def test_sizes_are_positive(size):
    with pytest.raises(ValueError, match=r'image_size: expected (a positive int or|sides of 8)'):
        as_size(size)


def pipeline_config(scope, model, train, val=(), **more):
    loaders = {
        f'{stage}_dataloader': {'dataset': {'pipeline': [dict(t) for t in pipeline]}}
        for stage, pipeline in (('train', train), ('val', val), ('test', val))
    }
    return Config({'default_scope': scope, 'model': {'type': model}, **loaders, **more})


def resize(pipeline, size, scope='mmdet', model='RetinaNet', val=()):
    settings, _, changes = size_settings(
        pipeline_config(scope, model, pipeline, val), as_size(size)
    )
    return settings, changes


KEEP = {'keep_ratio': True}


@pytest.mark.parametrize(
    ('pipeline', 'size', 'expected'),
    [
        ([{'type': 'Resize', 'scale': (1333, 800), **KEEP}], 640, [(640, 640)]),
        ([{'type': 'Resize', 'scale': (1333, 800), **KEEP}], (300, 500), [(500, 300)]),
        # The range of random scales stays a range.
        (
            [{'type': 'RandomResize', 'scale': [(1333, 640), (1333, 800)], **KEEP}],
            400,
            [[(400, 320), (400, 400)]],
        ),
        (
            [{'type': 'RandomChoiceResize', 'scales': [(480, 1333), (800, 1333)], **KEEP}],
            (600, 1000),
            [[(360, 1000), (600, 1000)]],
        ),
        # Mosaic, random scales twice as large, crop, padding: as RTMDet's.
        (
            [
                {'type': 'CachedMosaic', 'img_scale': (640, 640), 'pad_val': 114.0},
                {'type': 'RandomResize', 'scale': (1280, 1280), 'ratio_range': (0.1, 2.0), **KEEP},
                {'type': 'RandomCrop', 'crop_size': (640, 640)},
                {'type': 'Pad', 'size': (640, 640), 'pad_val': {'img': (114, 114, 114)}},
            ],
            320,
            [(320, 320), (640, 640), (320, 320), (320, 320)],
        ),
        # YOLOX moves mosaics by half their side.
        (
            [
                {'type': 'Mosaic', 'img_scale': (640, 640)},
                {'type': 'RandomAffine', 'border': (-320, -320)},
                {'type': 'Resize', 'scale': (640, 640), **KEEP},
            ],
            (320, 480),
            [(480, 320), (-240, -160), (480, 320)],
        ),
    ],
)
def test_detectors_pipelines_get_another_size(pipeline, size, expected):
    settings, changes = resize(pipeline, size)
    keys = ('scale', 'scales', 'img_scale', 'crop_size', 'size', 'border')
    new = settings['train_pipeline']
    assert [next(t[key] for key in keys if key in t) for t in new] == expected
    other = [{k: v for k, v in t.items() if k not in keys} for t in new]
    assert other == [{k: v for k, v in t.items() if k not in keys} for t in pipeline]
    assert len(changes) == len(pipeline)


def test_nested_transforms_get_another_size_too():
    branch = [
        {'type': 'RandomChoiceResize', 'scales': [(400, 4200), (600, 4200)], **KEEP},
        {'type': 'RandomCrop', 'crop_size': (384, 600), 'crop_type': 'absolute_range'},
        {'type': 'RandomChoiceResize', 'scales': [(480, 1333), (800, 1333)], **KEEP},
    ]
    pipeline = [{'type': 'RandomChoice', 'transforms': [branch[2:], branch]}]
    settings, _ = resize(pipeline, 800)
    first, second = settings['train_pipeline'][0]['transforms']
    assert first[0]['scales'] == [(480, 800), (800, 800)] == second[2]['scales']
    assert second[0]['scales'] == [(400, 2521), (600, 2521)]


def test_classifiers_pipelines_get_another_size():
    train = [{'type': 'RandomResizedCrop', 'scale': 224}, {'type': 'RandomFlip', 'prob': 0.5}]
    val = [
        {'type': 'ResizeEdge', 'scale': 256, 'edge': 'short'},
        {'type': 'CenterCrop', 'crop_size': 224},
    ]
    settings, changes = resize(train, 112, 'mmpretrain', 'ImageClassifier', val)
    assert settings['train_pipeline'][0]['scale'] == 112
    assert [t.get('scale', t.get('crop_size')) for t in settings['val_pipeline']] == [128, 112]
    assert settings['test_dataloader']['dataset']['pipeline'] == 'val_pipeline'
    assert changes[0] == 'train: RandomResizedCrop.scale 224 -> 112'
    # MMPretrain's own transforms name the height first, MMCV's the width.
    settings, _ = resize(train, (112, 224), 'mmpretrain', 'ImageClassifier', val)
    assert settings['train_pipeline'][0]['scale'] == (112, 224)
    assert settings['val_pipeline'][1]['crop_size'] == (224, 112)


def test_the_pipeline_of_a_later_stage_gets_the_size_too():
    train = [{'type': 'Resize', 'scale': (640, 640)}]
    hook = {'type': 'PipelineSwitchHook', 'switch_epoch': 5, 'switch_pipeline': train}
    cfg = pipeline_config('mmdet', 'RetinaNet', train, custom_hooks=[hook])
    _, hooks, _ = size_settings(cfg, (320, 320))
    assert hooks[0]['switch_pipeline'][0]['scale'] == (320, 320)


def test_nothing_to_change_is_said():
    with pytest.raises(ValueError, match=r'image_size: expected a training pipeline with'):
        resize([{'type': 'RandomFlip', 'prob': 0.5}], 320)


# --- data

READ = [{'type': 'LoadImageFromFile'}]


@pytest.fixture
def detector():
    return pipeline_config('mmdet', 'RetinaNet', READ, READ)


@pytest.fixture
def classifier():
    return pipeline_config('mmpretrain', 'ImageClassifier', READ, READ)


@pytest.mark.parametrize(
    ('annotations', 'images'),
    [
        ('{}.json', '{}'),
        ('annotations/{}.json', '{}'),
        ('annotations/instances_{}2017.json', '{}2017'),
        ('{}.json', 'images'),
        ('annotations/{}.json', 'images/{}'),
        ('{}/_annotations.coco.json', '{}'),
    ],
)
@pytest.mark.parametrize('val', ['val', None])
def test_layouts_of_coco_folders(annotations, images, val, detector, tiny_coco, tmp_path):
    source = tiny_coco(*CLASSES)
    for split in filter(None, ('train', val)):
        file = tmp_path / annotations.format(split)
        shutil.copytree(source / 'images', tmp_path / images.format(split), dirs_exist_ok=True)
        file.parent.mkdir(exist_ok=True)
        shutil.copy(source / 'annotations.json', file)
    own = data_settings(detector, tmp_path, tmp_path / 'run')
    settings = own.settings
    assert own.classes == [*CLASSES]
    dataset = settings['train_dataloader']['dataset']
    assert dataset['data_prefix'] == {'img': f'{tmp_path / images.format("train")}/'}
    if val is None:
        held_out = settings['val_dataloader']['dataset']
        assert held_out['ann_file'] == settings['val_evaluator']['ann_file']
        assert {*own.files} == {Path(d['ann_file']) for d in (dataset, held_out)}
        assert held_out['data_prefix'] == dataset['data_prefix']
        assert held_out['test_mode']
    else:
        assert dataset['ann_file'] == str(tmp_path / annotations.format('train'))
        assert settings['val_evaluator']['ann_file'] == str(tmp_path / annotations.format(val))
        assert settings['test_dataloader'] == 'val_dataloader'


def test_a_folder_without_annotations_names_the_layouts(detector, tmp_path):
    (tmp_path / 'pictures').mkdir()
    message = r"data: expected training data in .*train\.json, .*annotations.*; got \['pictures'\]"
    with pytest.raises(FileNotFoundError, match=message):
        data_settings(detector, tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r'data: no such folder'):
        data_settings(detector, tmp_path / 'none', tmp_path)


def test_annotations_without_their_images_name_the_places(detector, tiny_coco, tmp_path):
    shutil.copy(tiny_coco(*CLASSES) / 'annotations.json', tmp_path / 'train.json')
    with pytest.raises(FileNotFoundError, match=r"'0\.png', the first image .* name the folder"):
        data_settings(detector, tmp_path, tmp_path)


def test_no_validation_has_to_be_asked_for(detector, tiny_coco, tmp_path):
    source = tiny_coco(*CLASSES)
    files = (source / 'annotations.json', source / 'images')
    shutil.copytree(source / 'images', tmp_path / 'train')
    shutil.copy(files[0], tmp_path / 'train.json')
    for data in ({'train': files, 'val': None}, {'root': tmp_path, 'val': None}):
        own = data_settings(detector, data, tmp_path)
        assert own.settings['val_dataloader'] is own.settings['test_evaluator'] is None
        assert ('validation', 'none, as val=None asks') in own.decisions
        assert not own.files


def test_folders_of_classes(classifier, tiny_coco, tmp_path):
    write_class_folders(tmp_path, sorted((tiny_coco(*CLASSES) / 'images').glob('*.png')))
    own = data_settings(classifier, tmp_path, tmp_path)
    assert own.classes == [*CLASSES]
    assert own.settings['val_evaluator'] == {'type': 'Accuracy', 'topk': (1,)}
    named = {split: tmp_path / split for split in ('train', 'val')}
    assert data_settings(classifier, named, tmp_path) == own
    (tmp_path / 'val' / 'disc').rename(tmp_path / 'val' / 'disk')
    with pytest.raises(ValueError, match=r'data: expected the same class folders in train and val'):
        data_settings(classifier, tmp_path, tmp_path)
    with pytest.raises(FileNotFoundError, match=r'data: .*train/CLASS/'):
        data_settings(classifier, tmp_path / 'val', tmp_path)


def test_images_of_class_folders_are_held_out(classifier, tiny_coco, tmp_path):
    write_class_folders(tmp_path, sorted((tiny_coco(*CLASSES) / 'images').glob('*.png')))
    (tmp_path / 'train' / 'disc' / 'notes.webp').touch()
    own = data_settings(classifier, {'train': tmp_path / 'train'}, tmp_path / 'run')
    parts = {path.stem: text.splitlines() for path, text in own.files.items()}
    assert len(parts['val_images']) == 1
    together = parts['train_images'] + parts['val_images']
    found = [f'{p.parent.name}/{p.name}' for p in (tmp_path / 'train').rglob('*.png')]
    assert sorted(together) == sorted(f'{f} {CLASSES.index(f.split("/")[0])}' for f in found)
    assert ('data', 'left out, as MMPretrain does not read them: 1 .webp') in own.decisions
    dataset = own.settings['val_dataloader']['dataset']
    assert dataset['data_prefix'] == str(tmp_path / 'train')
    assert Path(dataset['ann_file']) in own.files


@pytest.mark.parametrize(
    ('change', 'message'),
    [
        (lambda train: (train / '.ipynb_checkpoints').mkdir(), r"'\.ipynb_checkpoints'\] would"),
        (lambda train: (train / 'empty').mkdir(), r'expected images .* in .*empty, got no file'),
        (lambda train: shutil.rmtree(train / 'disc'), r"at least two classes in .*\['square'\]"),
    ],
)
def test_folders_that_are_no_classes_are_named(classifier, tiny_coco, tmp_path, change, message):
    write_class_folders(tmp_path, sorted((tiny_coco(*CLASSES) / 'images').glob('*.png')))
    change(tmp_path / 'train')
    with pytest.raises(ValueError, match=message):
        data_settings(classifier, tmp_path, tmp_path)


def test_data_that_does_not_fit_is_named(detector, classifier, tiny_coco, tmp_path):
    files = (tiny_coco(*CLASSES) / 'annotations.json', tiny_coco(*CLASSES) / 'images')
    ring = tiny_coco('disc', 'ring') / 'annotations.json'
    (tmp_path / 'empty.json').write_text(json.dumps({'images': []}))
    for cfg, data, message in [
        (detector, {'val': files}, r"data: expected the keys 'train' and perhaps 'val'"),
        (detector, {'train': files[0]}, r"data\['train'\]: expected \(annotation file, folder"),
        (detector, {'train': ('no.json', '.')}, r"data\['train'\]: no such file: no\.json"),
        (detector, {'train': (files[0], 'no')}, r"data\['train'\]: no such folder: no"),
        (
            detector,
            {'train': (tmp_path / 'empty.json', '.')},
            r'expected a list of categories in .*empty\.json',
        ),
        (detector, {'train': files, 'val': (ring, files[1])}, r"it lacks \['square'\]"),
        (classifier, {'train': files}, r"data\['train'\]: expected a folder of classes"),
        (classifier, {'train': files[1]}, r'expected a folder for each of at least two classes'),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            data_settings(cfg, data, tmp_path)


def test_a_data_set_in_memory_cannot_be_replaced(tiny_coco, tmp_path):
    files = (tiny_coco(*CLASSES) / 'annotations.json', tiny_coco(*CLASSES) / 'images')
    cfg = pipeline_config('mmdet', 'RetinaNet', [])
    with pytest.raises(
        ValueError, match=r'student: expected a train_dataloader whose data set reads'
    ):
        data_settings(cfg, {'train': files}, tmp_path)
