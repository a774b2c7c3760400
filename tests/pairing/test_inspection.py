"""What a model returns: shapes, strides, calls, and a table of several models."""

import io

import pytest
import torch
from helpers import CLASSIFIER, FASTER_RCNN, RETINANET, toy_detector
from mmengine.config import Config
from rich.console import Console

from mmkd.models.building import build_model
from mmkd.pairing import default_size, image_size, padded_size, side_by_side, trace


@pytest.fixture(scope='module')
def retinanet():
    model = build_model(RETINANET)
    return model, trace(model, (128, 256))


def shapes(calls, name):
    return [output.shape for call in calls[name] for output in call]


def test_outputs_are_those_of_the_model(retinanet):
    model, calls = retinanet
    levels = model.extract_feat(torch.zeros(1, 3, 128, 256))
    assert shapes(calls, 'neck') == [tuple(level.shape) for level in levels]
    assert [output.stride for output in calls['neck'][0]] == [(s, s) for s in (8, 16, 32, 64, 128)]
    assert [str(output) for output in calls['backbone.layer4'][0]] == ['64x4x8 /32']


def test_a_head_runs_once_a_level(retinanet):
    model, calls = retinanet
    assert len(calls['bbox_head.retina_cls']) == 5
    scores, _ = model.bbox_head(model.extract_feat(torch.zeros(1, 3, 128, 256)))
    assert shapes(calls, 'bbox_head.retina_cls') == [tuple(level.shape) for level in scores]


def test_names_are_in_the_order_of_the_model_and_hooks_are_gone(retinanet):
    model, calls = retinanet
    names = [name for name, _ in model.named_modules() if name in calls]
    assert [*calls] == names
    assert not any(module._forward_hooks for module in model.modules())


def test_region_features_have_no_stride():
    calls = trace(build_model(FASTER_RCNN), (128, 128))
    assert all(output.stride is None for output in calls['roi_head.bbox_head.fc_cls'][0])
    assert all(output.stride is None for output in calls['roi_head.bbox_roi_extractor'][0])
    assert [output.stride for output in calls['neck'][0]][:2] == [(4, 4), (8, 8)]


def test_odd_sizes_round_to_the_stride():
    calls = trace(build_model(RETINANET), (200, 136))  # 25 x 17 cells at stride 8, 13 x 9 at 16
    assert [output.stride[0] for output in calls['neck'][0]][:3] == [8, 15, 29]
    # ... which is why a detector's size is a multiple of 128.
    assert default_size(config('mmdet', 'RetinaNet', scale=(136, 200))) == (256, 256)


def test_a_model_that_cannot_run_names_the_size_and_leaves_no_hooks():
    model = toy_detector()
    model.neck = torch.nn.Conv2d(5, 4, 1)
    with pytest.raises(RuntimeError, match=r'cannot run on an image of 7 x 9 .*try another size'):
        trace(model, (7, 9))
    assert not model.backbone._forward_hooks
    assert not model.neck._forward_hooks


def config(scope, model, **resize):
    dataset = {'pipeline': [{'type': 'Resize', **resize}, {'type': 'RandomFlip', 'prob': 0.5}]}
    loader = {'dataset': {'type': 'RepeatDataset', 'dataset': dataset}}
    return Config({'default_scope': scope, 'model': {'type': model}, 'train_dataloader': loader})


@pytest.mark.parametrize(
    ('resize', 'expected'),
    [
        ({'scale': (1333, 800)}, (512, 512)),
        ({'scales': [(300, 100), (400, 200)]}, (128, 384)),
        ({'scale': [(300, 100), (300, 200)]}, (128, 384)),
        ({'prob': 1.0}, (512, 512)),
    ],
)
def test_size_of_a_detector_is_that_of_its_training_at_most_512(resize, expected):
    assert default_size(config('mmdet', 'RetinaNet', **resize)) == expected


@pytest.mark.parametrize(
    ('resize', 'divisor', 'size', 'padded'),
    [
        ({'scale': (160, 120), 'keep_ratio': True}, 32, (120, 160), (128, 160)),
        ({'type': 'RandomResize', 'scale': [(160, 120), (200, 150)]}, 1, (120, 160), (120, 160)),
        ({'type': 'Mosaic', 'img_scale': (96, 64)}, 32, (64, 96), (64, 96)),
        ({'scale': (1333, 800)}, 32, (800, 1333), None),
        ({'prob': 1.0}, 32, None, None),
    ],
)
def test_size_of_the_training_images_is_read_from_the_pipeline(resize, divisor, size, padded):
    cfg = config('mmdet', 'RetinaNet', **resize)
    cfg.model.data_preprocessor = {'pad_size_divisor': divisor}
    assert image_size(cfg) == size
    assert padded_size(cfg) == padded


def test_size_is_read_from_the_test_pipeline_if_training_names_none():
    cfg = config('mmdet', 'RetinaNet', scale=(160, 120))
    cfg.val_dataloader = cfg.pop('train_dataloader')
    cfg.train_dataloader = {'dataset': {'type': 'CocoDataset', 'pipeline': []}}
    assert image_size(cfg) == (120, 160)
    assert default_size(cfg) == (128, 256)


@pytest.mark.parametrize(
    ('resize', 'expected'),
    [({'crop_size': 384}, (384, 384)), ({'scale': (200, 100)}, (100, 200)), ({}, (32, 32))],
)
def test_size_of_a_classifier_is_that_of_its_training(resize, expected):
    assert default_size(config('mmpretrain', 'ImageClassifier', **resize)) == expected


@pytest.fixture(scope='module')
def columns(retinanet):
    student = {'neck': retinanet[1]['neck'], 'head': retinanet[1]['bbox_head.retina_cls']}
    teacher = {
        'neck': student['neck'] * 2,
        'neck.conv': student['neck'][:1],
        'rpn': student['neck'],
    }
    return {'student': student, 'teacher': teacher}


def rendered(models, width=80, **options):
    """Lines of the table in a terminal of a width."""
    console = Console(width=width, file=io.StringIO())
    console.print(side_by_side(models, **options))
    return [line.rstrip() for line in console.file.getvalue().splitlines()]


def test_table_matches_modules_by_name(columns):
    rows = rendered(columns)
    assert rows[0].split() == ['module', 'student', 'teacher']
    assert rows[1].split() == ['neck', '16x16x32', '/8', '2', 'calls:']
    assert rows[2].split() == ['16x8x16', '/16', '16x16x32', '/8']
    # Parts stay together: the teacher's convolution comes before the student's head.
    names = [row.split()[0] for row in rows if not row.startswith(' ')]
    assert names == ['module', 'neck', 'neck.conv', 'head', 'rpn']
    assert max(map(len, rows)) <= 80


def test_table_for_a_narrow_terminal_holds_the_same(columns):
    wide, narrow = (rendered(columns, width) for width in (80, 30))
    assert max(map(len, narrow)) <= 30
    said = [
        sorted(word for word in ' '.join(rows).split() if 'x' in word) for rows in (wide, narrow)
    ]
    assert said[0] == said[1]


def test_table_keeps_depth_and_filter(columns):
    assert not any('neck.conv' in row for row in rendered(columns, depth=1))
    filtered = rendered(columns, containing='conv')
    assert [row.split()[0] for row in filtered if not row.startswith(' ')] == [
        'module',
        'neck.conv',
    ]


def test_equal_outputs_are_said_once():
    calls = trace(build_model(CLASSIFIER), (32, 32))
    several = {'student': {'layer': calls['backbone.layer1'] * 3}}
    assert rendered(several)[1:] == [
        'layer   3 calls:',
        '        8x32x32 /1 (3x)',
    ]
