"""From two plain configs to a trained student: what is decided, what is written, what runs."""

import re
import shutil
from pathlib import Path

import pytest
import torch
from helpers import CLASSIFIER, FASTER_RCNN, RETINANET, detection_batch
from mmengine.config import Config, ConfigDict
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from mmrazor.models.distillers import ConfigurableDistiller

from mmkd.cli import distill, export_student, train
from mmkd.exporting import student_config
from mmkd.models.building import build_model, model_config
from mmkd.pairing.inspection.head_classes import Classes, classes_of
from mmkd.pairing.inspection.pyramid import match
from mmkd.pairing.inspection.trace import Output
from mmkd.pairing.methods.logit_methods import LOGIT_METHODS, ONE_STAGE_LOGIT_METHODS, class_layer
from mmkd.pairing.methods.method import Pair
from mmkd.pairing.methods.pyramid_methods import PYRAMID_METHODS
from mmkd.pairing.writing.config_text import Expression, assignment, changes
from mmkd.pairing.writing.own_data import class_overrides
from mmkd.pairing.writing.schedule import epoch_settings
from mmkd.registry import MODELS
from mmkd.storage.checkpoint import load_all, read_checkpoint, read_state_dict

CLASSES = ('disc', 'square')
PIPELINE = [
    {'type': 'LoadImageFromFile'},
    {'type': 'Resize', 'scale': (128, 96), 'keep_ratio': True},
    {'type': 'LoadAnnotations', 'with_bbox': True},
]
PACK = {
    'type': 'PackDetInputs',
    'meta_keys': ('img_id', 'img_path', 'ori_shape', 'img_shape', 'scale_factor'),
}
LOADER = {'num_workers': 0, 'persistent_workers': False, 'batch_size': 4}


def write_config(path, model, **settings):
    """A config file that changes a config's model by ``model``."""
    model = dict(model)
    lines = [f'_base_ = {model.pop("cfg_path")!r}', f'model = {model!r}']
    path.write_text('\n'.join([*lines, *(f'{key} = {value!r}' for key, value in settings.items())]))
    return path


def wider(model, width):
    """A detector whose levels have another number of channels."""
    return Config._merge_a_into_b(
        {
            'neck': {'out_channels': width},
            'rpn_head': {'in_channels': width},
            'roi_head': {
                'bbox_roi_extractor': {'out_channels': width},
                'bbox_head': {'in_channels': width},
            },
        },
        model,
    )


def cascaded(model):
    """The Cascade R-CNN of a Faster R-CNN."""
    cfg_path = 'mmdet::cascade_rcnn/cascade-rcnn_r50_fpn_1x_coco.py'
    heads = model_config(cfg_path)[0].roi_head.bbox_head
    change = model['roi_head']['bbox_head']
    heads = [{**Config(head).to_dict(), **change} for head in heads]
    return {
        **model,
        'cfg_path': cfg_path,
        'roi_head': {**model['roi_head'], 'bbox_head': heads},
    }


def save_weights(config):
    torch.manual_seed(0)
    model = build_model({'cfg_path': str(config)})
    model.init_weights()
    torch.save({'state_dict': model.state_dict()}, config.with_suffix('.pth'))


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Configs of tiny models, teachers with weights."""
    folder = tmp_path_factory.mktemp('models')
    loaders = {
        f'{stage}_dataloader': {**LOADER, 'dataset': {'pipeline': [*PIPELINE, PACK]}}
        for stage in ('train', 'val', 'test')
    }
    # Untrained students are unsure: without this there would be nothing to evaluate.
    sure = {'test_cfg': {'score_thr': 0.0}}
    write_config(folder / 'retinanet.py', {**RETINANET, **sure}, **loaders)
    write_config(folder / 'big_retinanet.py', RETINANET)
    write_config(folder / 'faster_rcnn.py', wider(FASTER_RCNN, 24))
    write_config(folder / 'cascade_rcnn.py', cascaded(FASTER_RCNN))
    sure = {'test_cfg': {**FASTER_RCNN['test_cfg'], 'rcnn': {'score_thr': 0.0}}}
    write_config(folder / 'small_faster_rcnn.py', {**FASTER_RCNN, **sure}, **loaders)
    pipeline = [PIPELINE[0], {'type': 'Resize', 'scale': (32, 32)}, {'type': 'PackInputs'}]
    loaders = {
        f'{stage}_dataloader': {**LOADER, 'dataset': {'pipeline': pipeline}}
        for stage in ('train', 'val', 'test')
    }
    write_config(folder / 'small.py', CLASSIFIER, **loaders)
    big = {'backbone': {'base_channels': 16}, 'head': {'in_channels': 128}}
    write_config(folder / 'big.py', {**CLASSIFIER, **big})
    for name in ('big_retinanet', 'faster_rcnn', 'cascade_rcnn', 'big'):
        save_weights(folder / f'{name}.py')
    return folder


def options(folder, work_dir, method, teacher='big_retinanet', student='retinanet', **more):
    arguments = {
        'method': method,
        'teacher': folder / f'{teacher}.py',
        'teacher-ckpt': folder / f'{teacher}.pth',
        'student': folder / f'{student}.py',
        'work-dir': work_dir,
        **more,
    }
    return [f'--{name}={value}' for name, value in arguments.items() if value is not None]


def coco(root):
    files = {'ann': root / 'annotations.json', 'img': root / 'images'}
    return {**files, **{f'val-{name}': file for name, file in files.items()}}


# --- levels


@pytest.mark.parametrize(
    ('student', 'teacher', 'expected'),
    [
        ((8, 16, 32), (8, 16, 32), ((0, 1, 2), (0, 1, 2), 1, 1, (8, 16, 32))),
        ((8, 16, 32, 64, 128),) * 2 + (((0, 1, 2, 3), (0, 1, 2, 3), 1, 1, (8, 16, 32, 64)),),
        (
            (8, 16, 32, 64, 128),
            (4, 8, 16, 32, 64),
            ((0, 1, 2, 3), (1, 2, 3, 4), 1, 1, (8, 16, 32, 64)),
        ),
        ((32,), (8, 16, 32, 64), ((0,), (2,), 1, 1, (32,))),
        # Nothing is common: the finer one is pooled, by the smallest factor for the most pairs.
        ((32,), (8, 16), ((0,), (1,), 1, 2, (32,))),
        ((32, 64), (4, 8, 16), ((0, 1), (1, 2), 1, 4, (32, 64))),
        ((4, 8), (16, 32), ((0, 1), (0, 1), 4, 1, (16, 32))),
    ],
)
def test_levels_of_equal_strides_are_matched(student, teacher, expected):
    assert match(student, teacher) == expected
    swapped = (expected[1], expected[0], expected[3], expected[2], expected[4])
    assert match(teacher, student) == swapped


def test_no_common_stride_is_said():
    with pytest.raises(ValueError, match=r"teacher: .* the student's 8 16 .* got 12 20"):
        match((8, 16), (12, 20))


def maps(*levels):
    """Calls of a neck or backbone that returns (channels, stride) maps of 128 x 128 images."""
    return [
        tuple(
            Output((1, channels, 128 // stride, 128 // stride), (stride, stride))
            for channels, stride in levels
        )
    ]


PAIRS = {
    'equal': Pair({'neck': maps((8, 8), (8, 16))}, {'neck': maps((8, 8), (8, 16))}),
    'more levels': Pair(
        {'neck': maps(*[(8, 2**i) for i in range(2, 7)])},
        {'neck': maps(*[(8, 2**i) for i in range(2, 7)])},
    ),
    'widths': Pair({'neck': maps((8, 8), (8, 16))}, {'neck': maps((12, 4), (12, 8), (12, 16))}),
    'pooled': Pair({'neck': maps((8, 16), (8, 32))}, {'neck': maps((12, 4), (12, 8))}),
    'pooled student': Pair({'neck': maps((8, 4), (8, 8))}, {'neck': maps((8, 16), (8, 32))}),
    'student without neck': Pair(
        {'backbone': maps((4, 4), (8, 8), (16, 16))}, {'neck': maps((12, 8), (12, 16))}
    ),
    'no neck': Pair({'backbone': maps((4, 8), (8, 16))}, {'backbone': maps((8, 8), (16, 16))}),
}


class Recorded(torch.nn.Module):
    """Stands for a network whose neck or backbone has returned these levels."""

    def __init__(self, calls):
        super().__init__()
        self.source, self.outputs = next((name, call[0]) for name, call in calls.items())
        self.add_module(self.source, torch.nn.Identity())

    def forward(self, seed):
        generator = torch.Generator().manual_seed(seed)
        levels = (torch.randn(2, *out.shape[1:], generator=generator) for out in self.outputs)
        return getattr(self, self.source)(tuple(level.requires_grad_() for level in levels))


def distiller_of(method, pair):
    fitted = PYRAMID_METHODS[method].fit(PYRAMID_METHODS[method].load(), pair)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        return MODELS.build(ConfigDict(fitted.distiller))


def run(distiller, pair, *, same=False):
    """Losses of a distiller, and the student's levels."""
    student, teacher = Recorded(pair.student), Recorded(pair.teacher)
    distiller.prepare_from_student(student)
    distiller.prepare_from_teacher(teacher)
    with distiller.teacher_recorders:
        teacher(0)
    with distiller.student_recorders:
        levels = student(0 if same else 1)
    return distiller.compute_distill_losses(), levels


@pytest.mark.parametrize('method', PYRAMID_METHODS)
@pytest.mark.parametrize('name', PAIRS)
def test_pyramids_of_any_shape_are_compared(method, name):
    pair = PAIRS[name]
    losses, levels = run(distiller_of(method, pair), pair)
    assert all(loss.isfinite() and loss > 0 for loss in losses.values())
    sum(losses.values()).backward()
    sides = pair.sides.values()
    strides = [[out.stride[0] for out in next(iter(calls.values()))[0]] for calls in sides]
    compared = match(*strides).student
    trained = [i for i, level in enumerate(levels) if level.grad is not None]
    assert trained == list(compared)
    assert all(levels[i].grad.abs().max() > 0 for i in trained)


@pytest.mark.parametrize('method', ['pcka', 'cwd', 'pkd'])
@pytest.mark.parametrize('name', ['equal', 'more levels'])
def test_equal_pyramids_are_compared_as_they_are(method, name):
    distiller = distiller_of(method, PAIRS[name])
    assert not [*distiller.parameters()]
    losses, _ = run(distiller, PAIRS[name], same=True)
    assert sum(losses.values()).item() == pytest.approx(0, abs=1e-4)


def test_projection_is_from_the_students_width_to_the_teachers():
    distiller = distiller_of('mimic', PAIRS['student without neck'])
    assert isinstance(distiller, ConfigurableDistiller)
    convs = distiller.connectors['mimic'][-1].convs
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [(8, 12), (16, 12)]


def test_imitation_projects_equal_widths_too():
    convs = distiller_of('mimic', PAIRS['equal']).connectors['mimic'].convs
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [(8, 8), (8, 8)]


def test_loss_without_a_choice_of_levels_gets_no_others():
    fitted = PYRAMID_METHODS['pkd'].fit(PYRAMID_METHODS['pkd'].load(), PAIRS['more levels'])
    chosen = {'type': 'mmkd.SelectLevels', 'levels': (0, 1, 2, 3)}
    assert fitted.distiller['connectors'] == {'student_levels': chosen, 'teacher_levels': chosen}


def test_maps_are_expected():
    tokens = {'backbone': [(Output((1, 197, 192), None),)]}
    with pytest.raises(
        ValueError, match=r'student: expected feature maps of its backbone, got 1x197'
    ):
        distiller_of('pcka', Pair(tokens, PAIRS['equal'].teacher))


# --- class logits


def a_level(channels, *strides):
    """Calls of a layer that returns a map a call, of 128 x 128 images."""
    return [call for stride in strides for call in maps((channels, stride))]


def a_proposal(logits):
    return [(Output((7, logits), None),)]


# Parts of heads of three classes; towers of as many channels as logits are no reason to take them.
HEADS = {
    'retina_cls': {
        'cls_convs.0': a_level(18, 8, 16),
        'retina_cls': a_level(27, 8, 16),
        'retina_reg': a_level(36, 8, 16),
    },
    'tood_cls': {
        'cls_decomp': a_level(18, 8, 16),
        'tood_cls': a_level(3, 8, 16),
        'cls_prob_module': a_level(3, 8, 16),
    },
    'reppoints_cls_out': {
        'cls_convs.0': a_level(3, 8, 16),
        'reppoints_cls_conv': a_level(18, 8, 16),
        'reppoints_cls_out': a_level(3, 8, 16),
        'reppoints_pts_out': a_level(18, 8, 16),
    },
    'rtm_cls': {
        'cls_convs.0.0': a_level(18, 8),
        'rtm_cls.0': a_level(3, 8),
        'rtm_cls.1': a_level(3, 16),
        'rtm_reg.0': a_level(4, 8),
    },
    'shared_cls': {'shared_cls.0': a_level(3, 8, 16)},
}


@pytest.mark.parametrize('name', HEADS)
def test_class_logits_are_found(name):
    calls = {f'bbox_head.{part}': outputs for part, outputs in HEADS[name].items()}
    elsewhere = {'rpn_head.rpn_cls': a_level(3, 8, 16), 'bbox_head.deeper.0.cls': a_level(3, 8, 16)}
    layer = class_layer({**calls, **elsewhere}, Classes(3, background=False), 'student')
    assert layer.source == f'bbox_head.{name}'
    assert [output.stride for output in layer.levels] == [(8, 8), (16, 16)]


@pytest.mark.parametrize(
    'head',
    [
        {'heatmap_head': a_level(3, 4)},
        {'convs_pred.0': a_level(24, 8), 'convs_pred.1': a_level(24, 16)},
        {'cls_branches.0': [(Output((1, 300, 3), None),)] * 6},
        {'conv_cls': a_level(4, 8, 16)},  # not of three classes
        {'cls_convs.0': a_level(18, 8, 16), 'cls_convs.1': a_level(18, 8, 16)},
    ],
)
def test_heads_without_class_maps_are_refused(head):
    calls = {f'bbox_head.{part}': outputs for part, outputs in head.items()}
    message = (
        r"teacher: expected in bbox_head .*'\.\.\.cls\.\.\.'.* 3 classes.* got none; take pcka"
    )
    with pytest.raises(ValueError, match=message):
        class_layer(calls, Classes(3, background=False), 'teacher')


def module(**parts):
    built = torch.nn.Module()
    for name, part in parts.items():
        setattr(built, name, part)
    return built


def test_classes_are_those_of_the_box_head():
    sigmoid = module(num_classes=3, cls_out_channels=3)
    softmax = module(num_classes=3, cls_out_channels=4)
    stages = torch.nn.ModuleList([module(num_classes=1), module(num_classes=5)])
    assert classes_of(module(bbox_head=sigmoid)) == Classes(3, background=False)
    assert classes_of(module(bbox_head=softmax)) == Classes(3, background=True)
    roi_head = module(bbox_head=stages)
    assert classes_of(module(roi_head=roi_head, bbox_head=sigmoid)).number == 5
    assert classes_of(module(roi_head=roi_head)) == Classes(5, background=False)
    assert classes_of(module(mask_head=sigmoid)) is None
    assert classes_of(module(bbox_head=module())) is None


def test_background_hides_objects():
    with pytest.raises(ValueError, match=r'student: expected .* 3 classes alone .* \(softmax\)'):
        class_layer({'bbox_head.conv_cls': a_level(4, 8)}, Classes(3, background=True), 'student')


def fit_logits(methods, student, teacher, classes=(3, 3)):
    found = tuple(None if number is None else Classes(number, False) for number in classes)
    return methods['cmkd'].fit(methods['cmkd'].load(), Pair(student, teacher, found)).distiller


@pytest.mark.parametrize('swap', [False, True])
def test_locations_are_compared_on_the_levels_of_both(swap):
    pair = [{'bbox_head.a_cls': a_level(3, 8, 16)}, {'bbox_head.b_cls': a_level(3, 8, 16, 32)}]
    student, teacher = pair[::-1] if swap else pair
    distiller = fit_logits(ONE_STAGE_LOGIT_METHODS, student, teacher)
    assert [distiller['student_recorders']['logits']['source']] == [*student]
    assert [distiller['teacher_recorders']['logits']['source']] == [*teacher]
    loss = distiller['distill_losses']['loss_cmkd']
    assert (loss['num_classes'], loss['levels']) == (3, (0, 1))


@pytest.mark.parametrize('other', [a_level(9, 8, 16), a_level(3, 16, 32)])
def test_other_locations_or_anchors_are_refused(other):
    student = {'bbox_head.a_cls': a_level(3, 8, 16)}
    message = (
        r"teacher: expected the student's locations and anchors, .* bbox_head\.a_cls: 3x16x16 /8, "
        r'3x8x8 /16; got bbox_head\.b_cls: .*; take pcka or fkd'
    )
    with pytest.raises(ValueError, match=message):
        fit_logits(ONE_STAGE_LOGIT_METHODS, student, {'bbox_head.b_cls': other})


def test_first_stage_learns_from_the_last():
    cascade = {f'roi_head.bbox_head.{stage}.fc_cls': a_proposal(4) for stage in range(3)}
    distiller = fit_logits(LOGIT_METHODS, cascade, cascade)
    assert distiller['student_recorders']['logits']['source'] == 'roi_head.bbox_head.0.fc_cls'
    assert distiller['teacher_recorders']['logits']['source'] == 'roi_head.bbox_head.2.fc_cls'


FC = 'roi_head.bbox_head.fc_cls'


@pytest.mark.parametrize(
    ('teacher', 'classes', 'message'),
    [
        ({'bbox_head.a_cls': a_level(3, 8)}, (3, 3), r'teacher: expected a two-stage detector'),
        ({FC: [(Output((1, 100, 4), None),)]}, (3, 3), r'teacher: expected a two-stage detector'),
        ({FC: a_proposal(3)}, (3, 3), r"the student's 4 logits for a proposal, got 3: one of them"),
        ({FC: a_proposal(81)}, (3, 80), r"the student's 3 classes, .* got 80; .* pcka or fkd"),
        ({FC: a_proposal(4)}, (3, None), r'teacher: expected a bbox_head with classes, got none'),
    ],
)
def test_proposals_that_cannot_be_compared(teacher, classes, message):
    with pytest.raises(ValueError, match=message):
        fit_logits(LOGIT_METHODS, {FC: a_proposal(4)}, teacher, classes)


def test_two_logits_have_no_correlation_to_learn():
    message = r'student: expected three logits or more .*, got 2; take pcka or fkd'
    dense, proposals = {'bbox_head.a_cls': a_level(2, 8)}, {FC: a_proposal(2)}
    with pytest.raises(ValueError, match=message):
        fit_logits(ONE_STAGE_LOGIT_METHODS, dense, dense, (2, 2))
    with pytest.raises(ValueError, match=message):
        fit_logits(LOGIT_METHODS, proposals, proposals, (1, 1))


# --- what is written


def test_assignments_are_read_back_and_short():
    value = {
        'type': 'A' * 40,
        'numbers': (1,),
        'many': [{'scale': (1333, 800), 'name': 'a' * 60, 'flag': None}, "it's"],
        'heads': {'0': {'num_classes': 2}},
        'lambda': -1.5,
        'empty': {},
    }
    text = assignment('model', value)
    assert max(map(len, text.splitlines())) <= 100
    assert Config.fromstring(text, '.py').model.to_dict() == value
    assert assignment('a', [Expression('*b.c'), 1]) == 'a = [*b.c, 1]'


def test_changes_make_one_config_the_other(tmp_path):
    old = {'a': {'b': {'c': 1, 'd': [1]}, 'e': 2}, 'f': 3}
    new = {'a': {'b': {'c': 1, 'd': [2, {'x': 1}]}, 'e': {'g': 4}}, 'f': 3, 'h': {'i': 5}}
    lines = [*changes('part', old, new)]
    assert len(lines) == 3
    (tmp_path / 'old.py').write_text(assignment('part', old))
    (tmp_path / 'new.py').write_text('\n'.join(["_base_ = 'old.py'", 'part = _base_.part', *lines]))
    assert Config.fromfile(tmp_path / 'new.py').part.to_dict() == new


def test_schedule_is_stretched():
    cfg = Config(
        {
            'train_cfg': {'max_epochs': 12, 'val_interval': 4},
            'param_scheduler': [
                {'type': 'LinearLR', 'by_epoch': False, 'begin': 0, 'end': 500},
                {'type': 'MultiStepLR', 'milestones': [8, 11], 'begin': 0, 'end': 12},
                {'type': 'CosineAnnealingLR', 'begin': 1, 'T_max': 11, 'end': 10**9},
            ],
        }
    )
    settings = epoch_settings(cfg, 24)
    assert settings['train_cfg'] == {'max_epochs': 24}
    warm_up, steps, cosine = settings['param_scheduler']
    assert warm_up == cfg.param_scheduler[0]
    assert (steps['milestones'], steps['begin'], steps['end']) == ([16, 22], 0, 24)
    assert (cosine['begin'], cosine['T_max'], cosine['end']) == (2, 22, 10**9)
    short = epoch_settings(cfg, 2)
    assert short['train_cfg'] == {'max_epochs': 2, 'val_interval': 2}
    assert short['param_scheduler'][1]['milestones'] == [1, 2]
    assert 'param_scheduler' not in epoch_settings(cfg, 12)


def test_schedule_of_iterations_has_no_epochs():
    cfg = Config({'train_cfg': {'type': 'IterBasedTrainLoop', 'max_iters': 90000}})
    with pytest.raises(ValueError, match=r'--epochs: .* trains by epochs, got one of 90000'):
        epoch_settings(cfg, 3)
    with pytest.raises(ValueError, match=r'--epochs: expected a positive number, got 0'):
        epoch_settings(Config({'train_cfg': {'max_epochs': 12}}), 0)


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


# --- the tool


def run_tool(capsys, *arguments):
    """The written config, and what is printed."""
    distill.main([*map(str, arguments)])
    out = capsys.readouterr().out
    (line,) = (line for line in out.splitlines() if line.startswith('config '))
    return Config.fromfile(line.split()[1]), out


def exported_student(cfg, tmp_path):
    """The plain student of a finished run, with the exported weights."""
    checkpoint = read_checkpoint(f'{cfg.work_dir}/epoch_{cfg.train_cfg.max_epochs}.pth')
    assert not [name for name in checkpoint['state_dict'] if name.startswith('teacher')]
    out = str(tmp_path / 'student.pth')
    export_student.main([f'{cfg.work_dir}/epoch_{cfg.train_cfg.max_epochs}.pth', out])
    plain = student_config(cfg)
    with DefaultScope.overwrite_default_scope(plain.default_scope):
        model = build_model(plain.model)
    load_all(model, read_state_dict(out), out)
    return model


def logged(cfg, name):
    """The numbers that a run has logged under a name."""
    text = next(Path(cfg.work_dir).glob('*/*.log')).read_text()
    return [float(value) for value in re.findall(rf'{re.escape(name)}: +(\S+)', text)]


@pytest.mark.slow
@pytest.mark.parametrize(
    ('method', 'teacher', 'connectors'),
    [
        ('pcka-mimic', 'big_retinanet', ['mimic']),
        ('cwd', 'faster_rcnn', [f'cwd_stride{s}_student' for s in (8, 16, 32, 64)]),
        ('fkd', 'faster_rcnn', ['instances', 'instances_teacher']),
    ],
)
def test_detector_learns_own_classes(
    method, teacher, connectors, folder, tiny_coco, tmp_path, capsys
):
    arguments = options(folder, tmp_path, method, teacher, **coco(tiny_coco(*CLASSES)))
    cfg, out = run_tool(
        capsys, *arguments, '--epochs=1', '--cfg-options', 'default_hooks.logger.interval=1'
    )
    assert [*cfg.model.distiller.connectors] == connectors
    assert 'data       2 classes: disc, square' in out
    for name in cfg.model.distiller.distill_losses:
        losses = logged(cfg, f'distill.{name}')
        assert len(losses) == 2  # steps: seven images have annotations
        assert all(loss > 0 for loss in losses)
    assert 0 <= logged(cfg, 'coco/bbox_mAP')[0] <= 1
    model = exported_student(cfg, tmp_path)
    assert model.bbox_head.num_classes == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ('teacher', 'student', 'algorithm'),
    [
        ('big_retinanet', 'retinanet', 'FrozenTeacherDistill'),
        ('cascade_rcnn', 'small_faster_rcnn', 'SharedProposalDistill'),
    ],
)
def test_detector_learns_class_logits(
    teacher, student, algorithm, folder, tiny_coco, tmp_path, capsys
):
    data = coco(tiny_coco('disc', 'square', 'ring'))
    arguments = options(folder, tmp_path, 'cmkd', teacher, student, **data)
    cfg, _ = run_tool(
        capsys, *arguments, '--epochs=1', '--cfg-options', 'default_hooks.logger.interval=1'
    )
    assert cfg.model.type == f'mmkd.{algorithm}'
    losses = logged(cfg, 'distill.loss_cmkd')
    assert len(losses) == 2
    assert all(loss > 0 for loss in losses)
    assert 0 <= logged(cfg, 'coco/bbox_mAP')[0] <= 1
    exported_student(cfg, tmp_path)


@pytest.fixture(scope='module')
def class_folders(tmp_path_factory, tiny_coco):
    """Four images each, of two classes, in train and val."""
    folder = tmp_path_factory.mktemp('folders')
    images = sorted((tiny_coco(*CLASSES) / 'images').glob('*.png'))
    for split in ('train', 'val'):
        for label, name in enumerate(CLASSES):
            (folder / split / name).mkdir(parents=True)
            for image in images[label::2]:
                shutil.copy(image, folder / split / name)
    return folder


@pytest.mark.slow
def test_classifier_learns_own_classes(folder, class_folders, tmp_path, capsys):
    arguments = options(folder, tmp_path, 'dlkd', 'big', 'small', data=class_folders)
    cfg, out = run_tool(capsys, *arguments, '--epochs=1', '--batch-size=4')
    assert cfg.model.views == 'rotations'
    align = cfg.model.distiller.connectors.align
    assert (align.in_channels, align.out_channels) == (64, 128)
    assert 'neck (1x64); 2 classes' in out
    assert 'neck (1x128); 10 classes' in out
    assert 0 <= logged(cfg, 'accuracy/top1')[0] <= 100
    assert exported_student(cfg, tmp_path).head.fc.out_features == 2


@pytest.mark.parametrize(
    ('method', 'teacher', 'student'),
    [
        *(
            (name, 'faster_rcnn', 'retinanet')
            for name in distill.DETECTOR_METHODS
            if name != 'cmkd'
        ),
        ('cmkd', 'faster_rcnn', 'small_faster_rcnn'),
    ],
)
def test_every_method_of_detectors_takes_a_step(
    method, teacher, student, folder, tmp_path, capsys, monkeypatch
):
    monkeypatch.setattr(distill, 'check', lambda _: None)  # it is built here
    cfg, _ = run_tool(capsys, *options(folder, tmp_path, method, teacher, student), '--dry-run')
    assert not Path(cfg.work_dir).exists()
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        losses = model.loss(*detection_batch(model.architecture, [(3, 128, 128)] * 2))
    distilled = {name: loss for name, loss in losses.items() if name.startswith('distill.')}
    assert {*distilled} == {f'distill.{name}' for name in cfg.model.distiller.distill_losses}
    assert all(loss.isfinite() and loss > 0 for loss in distilled.values())


@pytest.mark.parametrize('method', distill.CLASSIFIER_METHODS)
def test_every_method_of_classifiers_takes_a_step(method, folder, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(distill, 'check', lambda _: None)  # it is built here
    cfg, _ = run_tool(capsys, *options(folder, tmp_path, method, 'big', 'small'), '--dry-run')
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(0)
    samples = [DataSample().set_gt_label(label) for label in (0, 0, 1, 1)]
    losses = model.loss(torch.randn(4, 3, 32, 32, generator=generator), samples)
    distilled = {name: loss for name, loss in losses.items() if name.startswith('distill.')}
    assert {*distilled} == {f'distill.{name}' for name in cfg.model.distiller.distill_losses}
    assert all(loss.isfinite() and loss > 0 for loss in distilled.values())


def test_config_for_equal_detectors_adds_nothing_to_the_method(folder, tmp_path, capsys):
    cfg, out = run_tool(capsys, *options(folder, tmp_path, 'pcka'), '--dry-run')
    method = PYRAMID_METHODS['pcka'].load()
    assert cfg.model.distiller.to_dict() == method
    assert cfg.train_dataloader.batch_size == LOADER['batch_size']
    lines = Path(cfg.filename).read_text().splitlines()
    assert len(lines) < 45
    assert max(map(len, lines[12:])) <= 100 + len(str(folder))
    assert f'python tools/train.py {cfg.filename}' in out


def drafted(*arguments):
    return distill.draft_of(distill.parse_args([*map(str, arguments)]))


def test_dense_heads_of_two_families(folder, tmp_path):
    """RTMDet has a layer a level, GFL one for all of its five."""
    head = {**RETINANET['bbox_head'], 'feat_channels': 32}  # in groups
    model = {**RETINANET, 'cfg_path': 'mmdet::gfl/gfl_r50_fpn_1x_coco.py', 'bbox_head': head}
    teacher = write_config(tmp_path / 'gfl.py', model)
    arguments = options(folder, tmp_path, 'cmkd', **{'teacher-ckpt': teacher})  # not read
    arguments += [f'--teacher={teacher}', '--student=mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py']
    classes = 'model.architecture.bbox_head.num_classes=3'
    draft = drafted(*arguments, '--cfg-options', classes)
    sources = [
        draft.distiller[f'{who}_recorders']['logits']['source'] for who in ('student', 'teacher')
    ]
    assert sources == ['bbox_head.rtm_cls', 'bbox_head.gfl_cls']
    assert draft.distiller['distill_losses']['loss_cmkd']['levels'] == (0, 1, 2)
    assert ('levels', 'class logits at strides 8 16 32') in draft.decisions
    assert draft.settings['model']['type'] == 'mmkd.FrozenTeacherDistill'


@pytest.mark.parametrize(('teacher', 'weight'), [('big_retinanet', 10), ('faster_rcnn', 6)])
def test_weight_of_pkd_is_that_of_the_stages(teacher, weight, folder, tmp_path):
    draft = drafted(*options(folder, tmp_path, 'pkd', teacher))
    assert draft.distiller['distill_losses']['loss_pkd']['loss_weight'] == weight


def test_written_config_is_edited_and_run_by_train(folder, tmp_path, capsys, monkeypatch):
    arguments = options(folder, tmp_path, 'mimic')
    cfg, _ = run_tool(capsys, *arguments, '--dry-run')
    trained = []
    monkeypatch.setattr(train, 'build_runner', lambda cfg: trained.append(cfg) or Idle())
    run_tool(capsys, *arguments, '--auto-scale-lr')  # the same again
    assert trained[0].model.to_dict() == cfg.model.to_dict()
    assert trained[0].work_dir == str(tmp_path / 'mimic_big_retinanet_retinanet')
    assert trained[0].auto_scale_lr.enable
    config = Path(cfg.filename)
    config.write_text(config.read_text().replace('loss_weight=1.0', 'loss_weight=3.0'))
    train.main([str(config)])
    assert trained[1].model.distiller.distill_losses.loss_mimic.loss_weight == 3.0
    with pytest.raises(FileExistsError, match=r'is there, .* choose another --work-dir'):
        distill.main(arguments)
    assert 'loss_weight=3.0' in config.read_text()


class Idle:
    """A runner that does nothing."""

    def train(self):
        pass


def test_options_reach_the_config(folder, tmp_path, capsys):
    settings = [
        'model.teacher.precision=bf16',
        'model.architecture.neck.out_channels=8',
        'model.architecture.bbox_head.in_channels=8',
        'model.distiller.distill_losses.loss_pcka.patch_size=8',
        'optim_wrapper.optimizer.lr=0.5',
        'train_cfg.val_interval=7',
    ]
    cfg, _ = run_tool(
        capsys,
        *options(folder, tmp_path, 'pcka'),
        *('--batch-size=3', '--epochs=8', '--dry-run', '--cfg-options', *settings),
    )
    assert cfg.model.teacher.precision == 'bf16'
    assert cfg.model.distiller.distill_losses.loss_pcka.patch_size == 8
    # The pair is looked at as the options make it.
    assert cfg.model.distiller.connectors.pcka.in_channels == 8
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (8, 7)
    assert cfg.train_dataloader.batch_size == 3


def test_students_hooks_and_weights_stay(folder, tmp_path, capsys):
    hooks = "custom_hooks = [dict(type='EMAHook'), dict(type='mmkd.DataCheckHook')]"
    student = tmp_path / 'student.py'
    student.write_text(f"_base_ = '{folder}/retinanet.py'\nload_from = 'start.pth'\n{hooks}\n")
    arguments = options(folder, tmp_path, 'pcka') + [f'--student={student}']
    cfg, _ = run_tool(capsys, *arguments, '--dry-run')
    assert [hook.type for hook in cfg.custom_hooks] == [
        'EMAHook',
        'mmkd.DataCheckHook',
        'mmkd.FiniteLossHook',
        'mmkd.EpochSeedHook',
    ]
    assert cfg.load_from is None
    assert cfg.model.architecture.init_cfg == {'type': 'Pretrained', 'checkpoint': 'start.pth'}


def test_test_is_the_validation(folder, tiny_coco, tmp_path, capsys):
    root = tiny_coco(*CLASSES)
    cfg, _ = run_tool(capsys, *options(folder, tmp_path, 'pcka', **coco(root)), '--dry-run')
    for stage in ('val', 'test'):
        dataset, evaluator = cfg[f'{stage}_dataloader'].dataset, cfg[f'{stage}_evaluator']
        assert dataset.ann_file == evaluator.ann_file == str(root / 'annotations.json')
        assert dataset.metainfo.classes == CLASSES
        assert 'data_root' not in dataset
        assert '_delete_' not in str(dataset)
        assert '_delete_' not in evaluator
        assert evaluator.metric == ['bbox']
        assert dataset.test_mode


def test_late_hooks_are_named(folder, tmp_path, capsys):
    student = tmp_path / 'student.py'
    hooks = "custom_hooks = [dict(type='PipelineSwitchHook', switch_epoch=5)]"
    student.write_text(f"_base_ = '{folder}/retinanet.py'\n{hooks}\n")
    arguments = options(folder, tmp_path, 'pcka') + [f'--student={student}', '--dry-run']
    _, out = run_tool(capsys, *arguments, '--epochs=6')
    assert 'never reached' not in out
    _, out = run_tool(capsys, *arguments, '--epochs=5', f'--work-dir={tmp_path}/5')
    assert 'never reached in 5 epochs: PipelineSwitchHook at epoch 5' in out


def test_without_validation_data_there_is_no_validation(folder, tiny_coco, tmp_path, capsys):
    files = {name: file for name, file in coco(tiny_coco(*CLASSES)).items() if 'val' not in name}
    cfg, _ = run_tool(capsys, *options(folder, tmp_path, 'pcka', **files), '--dry-run')
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is cfg.test_dataloader is None
    assert cfg.train_dataloader.dataset.pipeline[1].scale == (128, 96)


# --- what does not fit


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'method': 'pkcka'}, r"--method: expected one of \['pcka', .*got 'pkcka'"),
        ({'method': 'kd'}, r'--method: expected one of .*pcka'),
        ({'teacher': 'big'}, r'--teacher: expected a detector as the student is, got a classifier'),
        ({'teacher-ckpt': 'no.pth'}, r'--teacher-ckpt: no such file: no\.pth'),
        ({'ann': 'no.json', 'img': '.'}, r'--ann: no such file: no\.json'),
        ({'data': '.'}, r'expected --ann and --img for detectors'),
        ({'epochs': 0}, r'--epochs: expected a positive number'),
    ],
)
def test_wrong_options_are_named(changes, message, folder, tmp_path):
    arguments = {'method': 'pcka', **changes}
    with pytest.raises((ValueError, FileNotFoundError), match=message):
        distill.main(options(folder, tmp_path, **arguments))
    assert not [*tmp_path.iterdir()]


def test_positions_in_lists_are_refused(folder, tmp_path):
    arguments = [*options(folder, tmp_path, 'pcka'), '--cfg-options', 'param_scheduler.0.end=5']
    with pytest.raises(ValueError, match=r'without positions in lists, got param_scheduler\.0'):
        distill.main(arguments)


@pytest.mark.parametrize(
    ('extra', 'message'),
    [
        (['--ann=a.json'], 'expected both or none of --ann and --img'),
        (['--val-ann=a.json', '--val-img=b'], '--val-ann: expected --ann beside it'),
        (['--ann=a', '--img=b', '--data=c'], 'not both'),
    ],
)
def test_options_that_belong_together(extra, message, folder, tmp_path, capsys):
    with pytest.raises(SystemExit):
        distill.main([*options(folder, tmp_path, 'pcka'), *extra])
    assert message in capsys.readouterr().err


def test_validation_of_other_classes_is_refused(folder, tiny_coco, tmp_path):
    files = coco(tiny_coco(*CLASSES)) | {'val-ann': tiny_coco('disc', 'ring') / 'annotations.json'}
    with pytest.raises(ValueError, match=r"--val-ann: expected .* lacks \['square'\]"):
        distill.main(options(folder, tmp_path, 'pcka', **files))


def test_file_without_categories_is_refused(folder, tmp_path):
    (tmp_path / 'a.json').write_text('{"images": []}')
    files = {'ann': tmp_path / 'a.json', 'img': tmp_path}
    with pytest.raises(ValueError, match=r'--ann: expected COCO annotations with `categories`'):
        distill.main(options(folder, tmp_path, 'pcka', **files))


def test_logits_of_other_classes_are_refused(folder, class_folders, tmp_path):
    with pytest.raises(ValueError, match=r"the student's 2 classes, .* got 10; .* fkd or dlkd"):
        distill.main(options(folder, tmp_path, 'kd', 'big', 'small', data=class_folders))


def test_class_logits_of_detectors_that_differ_are_refused(folder, tiny_coco, tmp_path):
    with pytest.raises(ValueError, match=r'student: .* two-stage .* equally many stages, or pcka'):
        distill.main(options(folder, tmp_path, 'cmkd', 'faster_rcnn'))
    data = coco(tiny_coco(*CLASSES))
    with pytest.raises(ValueError, match=r"the student's 2 classes, .* got 3; .* pcka or fkd"):
        distill.main(options(folder, tmp_path, 'cmkd', **data))


def test_checkpoint_of_another_network_stops_the_dry_run(folder, tmp_path):
    arguments = options(folder, tmp_path, 'pcka', **{'teacher-ckpt': folder / 'big.pth'})
    with pytest.raises(ValueError, match=r'does not match RetinaNet'):
        distill.main([*arguments, '--dry-run'])
