"""From two models to a trained student by one call: what is decided, written, trained, returned."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from helpers import RETINANET, detection_batch
from mmengine.config import Config
from mmengine.registry import DefaultScope
from mmpretrain.structures import DataSample
from tiny_pairs import (
    CLASSES,
    LOADER,
    coco,
    digit_arguments,
    pair,
    write_class_folders,
    write_config,
    write_models,
)

import mmkd
from mmkd.api import training
from mmkd.api.running import load_config
from mmkd.cli import train
from mmkd.models.building import build_model
from mmkd.pairing.methods import CLASSIFIER_METHODS, DETECTOR_METHODS
from mmkd.registry import MODELS
from mmkd.storage.checkpoint import load_all, read_state_dict

EVERY_STEP = {'default_hooks.logger.interval': 1}


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    """Configs of tiny models, the teachers' with weights beside them."""
    folder = tmp_path_factory.mktemp('models')
    write_models(folder)
    return folder


@pytest.fixture(scope='module')
def class_folders(tmp_path_factory, tiny_coco):
    folder = tmp_path_factory.mktemp('folders')
    write_class_folders(folder, sorted((tiny_coco(*CLASSES) / 'images').glob('*.png')))
    return folder


@pytest.fixture(scope='module')
def digits(tmp_path_factory):
    """Arguments for classifiers of embedded digits."""
    return digit_arguments(tmp_path_factory.mktemp('digits'), epochs=2)


def written(plan):
    return Config.fromfile(plan.write())


def plain_student(result):
    """The student, with the exported weights, by the plain config beside them."""
    plain = Config.fromfile(result.checkpoint.with_suffix('.py'))
    with DefaultScope.overwrite_default_scope(plain.default_scope):
        model = build_model(plain.model)
    load_all(model, read_state_dict(str(result.checkpoint)), 'student.pth')
    return model


def logged(result, name):
    """The numbers that a run has logged under a name."""
    text = next(result.work_dir.glob('*/*.log')).read_text()
    return [float(value) for value in re.findall(rf'(?<!\w){re.escape(name)}: +(\S+)', text)]


# --- the whole job


def test_classifier_is_distilled_in_one_call(digits, tmp_path, capsys):
    result = mmkd.distill(**digits, method='kd', work_dir=tmp_path)
    assert 'config     ' in capsys.readouterr().out
    assert result.config_path == tmp_path / 'kd_resnet14_digits_resnet8_digits_2e.py'
    assert result.work_dir == tmp_path / 'kd_resnet14_digits_resnet8_digits_2e'
    assert result.checkpoint == result.work_dir / 'student.pth'
    assert [*result.metrics] == ['student', 'teacher']
    assert 0 <= result.metrics['teacher']['accuracy/top1'] <= 100
    assert [each['epoch'] for each in result.history] == [1, 2]
    assert result.history[-1]['accuracy/top1'] == result.metrics['student']['accuracy/top1']
    assert result.config.model.distiller.losses.kd.type == 'KLDivergence'
    assert dict(result.decisions)['student'] == 'head.fc (1x10); 10 classes'
    trained = read_state_dict(str(result.work_dir / 'epoch_2.pth'))
    student = plain_student(result).state_dict()
    assert all(torch.equal(trained[f'architecture.{name}'], v) for name, v in student.items())
    assert not [name for name in trained if name.startswith('teacher')]


def test_result_and_checkpoint_export_the_same(digits, tmp_path):
    result = mmkd.distill(**digits, work_dir=tmp_path, evaluate_teacher=False)
    assert result.metrics['teacher'] == {}
    one = mmkd.export(result, tmp_path / 'one.pth')
    two = mmkd.export(result.work_dir / 'epoch_2.pth', tmp_path / 'two.pth')
    assert one.with_suffix('.py').is_file()
    assert not two.with_suffix('.py').exists()
    states = [read_state_dict(str(path)) for path in (one, two)]
    assert states[0].keys() == states[1].keys()
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    mmkd.export(result.work_dir / 'epoch_2.pth', two, config=result.config_path)
    assert two.with_suffix('.py').read_text() == one.with_suffix('.py').read_text()


@pytest.mark.slow
@pytest.mark.parametrize(
    ('method', 'teacher', 'losses'),
    [
        ('pcka-mimic', 'big_retinanet', ['pcka', 'mimic']),
        ('cwd', 'faster_rcnn', [f'cwd_stride{s}' for s in (8, 16, 32, 64)]),
        ('fkd', 'faster_rcnn', ['fkd']),
    ],
)
def test_detector_learns_own_classes(method, teacher, losses, folder, tiny_coco, tmp_path):
    result = mmkd.distill(
        **pair(folder, teacher),
        method=method,
        data=coco(tiny_coco(*CLASSES)),
        epochs=1,
        work_dir=tmp_path,
        options=EVERY_STEP,
    )
    assert [*result.config.model.distiller.losses] == losses
    assert ('data', '2 classes: disc, square') in result.decisions
    for name in losses:
        values = logged(result, f'distill.loss_{name}')
        assert len(values) == 2  # steps: seven images have annotations
        assert all(value > 0 for value in values)
    assert 0 <= result.metrics['student']['coco/bbox_mAP'] <= 1
    assert result.metrics['teacher'] == {}  # of three classes
    assert plain_student(result).bbox_head.num_classes == 2


@pytest.mark.slow
@pytest.mark.parametrize(
    ('teacher', 'student', 'algorithm'),
    [
        ('big_retinanet', 'retinanet', 'FrozenTeacherDistill'),
        ('cascade_rcnn', 'small_faster_rcnn', 'SharedProposalDistill'),
    ],
)
def test_detector_learns_class_logits(teacher, student, algorithm, folder, tiny_coco, tmp_path):
    result = mmkd.distill(
        **pair(folder, teacher, student),
        method='cmkd',
        data=coco(tiny_coco('disc', 'square', 'ring')),
        image_size=(64, 96),
        epochs=1,
        work_dir=tmp_path,
        options={**EVERY_STEP, 'model.teacher.test_cfg.score_thr': 0.0},
    )
    assert result.config.model.type == f'mmkd.{algorithm}'
    values = logged(result, 'distill.loss_cmkd')
    assert len(values) == 2
    assert all(value > 0 for value in values)
    for who in ('student', 'teacher'):
        assert 0 <= result.metrics[who]['coco/bbox_mAP'] <= 1
    assert result.config.train_pipeline[1].scale == (96, 64)


@pytest.mark.slow
def test_classifier_learns_own_classes(folder, class_folders, tmp_path):
    result = mmkd.distill(
        **pair(folder, 'big', 'small'),
        method='dlkd',
        data=class_folders,
        epochs=1,
        batch_size=4,
        work_dir=tmp_path,
    )
    assert result.config.model.views == 'rotations'
    texts = [text for _, text in result.decisions]
    assert 'neck (1x64); 2 classes' in texts
    assert 'neck (1x128); 10 classes' in texts
    assert 0 <= result.metrics['student']['accuracy/top1'] <= 100
    assert plain_student(result).head.fc.out_features == 2


# --- models as configs and as modules


def test_configs_in_memory_are_written_and_can_be_trained_again(digits, tmp_path):
    student, teacher = (load_config(digits[who]) for who in ('student', 'teacher'))
    student.model.backbone.widths = (8, 8, 8, 8)
    student.model.head.in_channels = 8
    arguments = {**digits, 'student': student, 'teacher': teacher}
    result = mmkd.distill(**arguments, work_dir=tmp_path)
    assert plain_student(result).head.fc.in_features == 8
    assert sorted(path.name for path in result.work_dir.glob('*_config.py')) == [
        'student_config.py',
        'teacher_config.py',
    ]
    train.main([str(result.config_path), '--work-dir', str(tmp_path / 'again')])
    assert (tmp_path / 'again' / 'epoch_2.pth').is_file()


def test_built_models_bring_their_config_and_weights(digits, tmp_path):
    models = {}
    for who, attribute in (('student', '_config'), ('teacher', 'cfg')):
        config = load_config(digits[who])
        with DefaultScope.overwrite_default_scope(config.default_scope):
            models[who] = build_model(config.model)
        setattr(models[who], attribute, config)
    plan = mmkd.plan(**{**digits, **models, 'teacher_checkpoint': None}, work_dir=tmp_path)
    cfg = written(plan)
    plan.check()
    with DefaultScope.overwrite_default_scope(cfg.default_scope):
        algorithm = MODELS.build(cfg.model)
    algorithm.init_weights()
    built = {'student': algorithm.student, 'teacher': algorithm.teacher.model}
    for who, model in models.items():
        state = built[who].state_dict()
        assert all(torch.equal(state[name], value) for name, value in model.state_dict().items())


def test_built_models_that_cannot_be_used_are_named(digits, tmp_path):
    model = build_model({'cfg_path': digits['teacher']})
    arguments = {**digits, 'work_dir': tmp_path}
    with pytest.raises(ValueError, match=r'teacher: .* carries its config, .*model\.cfg'):
        mmkd.plan(**{**arguments, 'teacher': model})
    model.cfg = load_config(digits['teacher'])
    with pytest.raises(ValueError, match=r'teacher_checkpoint: .* got a built model and'):
        mmkd.plan(**{**arguments, 'teacher': model})
    model.extra = torch.nn.Linear(2, 2)
    with pytest.raises(ValueError, match=r"teacher: .* got other tensors: \['extra\.bias'"):
        mmkd.plan(**{**arguments, 'teacher': model, 'teacher_checkpoint': None})


# --- what is decided


OF_HEADS = {  # methods that need two heads of one kind
    **dict.fromkeys(('kd', 'dist', 'cmkd'), ('faster_rcnn', 'small_faster_rcnn')),
    **dict.fromkeys(('scores', 'boxes'), ('big_retinanet', 'retinanet')),
}


@pytest.mark.parametrize(
    ('method', 'teacher', 'student'),
    [
        *((name, 'faster_rcnn', 'retinanet') for name in DETECTOR_METHODS if name not in OF_HEADS),
        *((name, *models) for name, models in OF_HEADS.items()),
    ],
)
def test_every_method_of_detectors_takes_a_step(method, teacher, student, folder, tmp_path):
    # An untrained teacher is sure of nothing.
    options = dict(min_score=0.0) if method == 'boxes' else None
    plan = mmkd.plan(
        **pair(folder, teacher, student),
        method=method,
        method_options=options,
        work_dir=tmp_path,
    )
    assert not [*tmp_path.iterdir()]
    cfg = written(plan)
    assert not plan.work_dir.exists()
    with DefaultScope.overwrite_default_scope('mmdet'):
        model = MODELS.build(cfg.model)
        losses = model.loss(*detection_batch(model.architecture, [(3, 128, 128)] * 2))
    assert_distilled(losses, cfg)


@pytest.mark.parametrize('method', CLASSIFIER_METHODS)
def test_every_method_of_classifiers_takes_a_step(method, folder, tmp_path):
    cfg = written(mmkd.plan(**pair(folder, 'big', 'small'), method=method, work_dir=tmp_path))
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = MODELS.build(cfg.model)
    generator = torch.Generator().manual_seed(0)
    samples = [DataSample().set_gt_label(label) for label in (0, 0, 1, 1)]
    losses = model.loss(torch.randn(4, 3, 32, 32, generator=generator), samples)
    assert_distilled(losses, cfg)


def assert_distilled(losses, cfg):
    distilled = {name: loss for name, loss in losses.items() if name.startswith('distill.')}
    assert {*distilled} == {f'distill.loss_{name}' for name in cfg.model.distiller.losses}
    assert all(loss.isfinite() and loss > 0 for loss in distilled.values())


def test_defaults_are_pkd_and_dist(folder, tmp_path):
    detector = mmkd.plan(**pair(folder), work_dir=tmp_path)
    assert detector.path.name == 'pkd_big_retinanet_retinanet.py'
    classifier = mmkd.plan(**pair(folder, 'big', 'small'), work_dir=tmp_path)
    assert classifier.path.name == 'dist_big_small.py'


def test_config_for_equal_detectors_is_short(folder, tmp_path):
    plan = mmkd.plan(**pair(folder), work_dir=tmp_path)
    cfg = written(plan)
    assert cfg.train_dataloader.batch_size == LOADER['batch_size']
    lines = plan.text.splitlines()
    assert len(lines) < 60
    assert max(map(len, lines[10:])) <= 100 + len(str(folder))
    assert 'channels' not in plan.text.partition('distiller =')[2]


def test_dense_heads_of_two_families(folder, tmp_path):
    """RTMDet has a layer a level, GFL one for all of its five."""
    head = {**RETINANET['bbox_head'], 'feat_channels': 32}  # in groups
    model = {**RETINANET, 'cfg_path': 'mmdet::gfl/gfl_r50_fpn_1x_coco.py', 'bbox_head': head}
    teacher = write_config(tmp_path / 'gfl.py', model)
    plan = mmkd.plan(
        teacher=teacher,
        teacher_checkpoint='gfl.pth',  # not there yet
        student='mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
        method='cmkd',
        image_size=320,
        options={'model.architecture.bbox_head.num_classes': 3},
    )
    cfg = Config.fromstring(plan.text, '.py')
    loss = cfg.model.distiller.losses.cmkd
    assert loss.on.student.source == 'bbox_head.rtm_cls'
    assert loss.on.teacher.source == 'bbox_head.gfl_cls'
    assert loss.teacher_connector == dict(type='mmkd.SelectLevels', levels=(0, 1, 2))
    assert ('levels', 'class logits at strides 8 16 32') in plan.decisions
    assert cfg.model.type == 'mmkd.FrozenTeacherDistill'
    # RTMDet's second stage trains on images of the same size.
    (switch,) = (hook for hook in cfg.custom_hooks if hook.type == 'PipelineSwitchHook')
    for pipeline in (cfg.train_dataloader.dataset.pipeline, switch.switch_pipeline):
        assert [t.size for t in pipeline if t.type == 'Pad'] == [(320, 320)]
    assert [t.scale for t in cfg.val_pipeline if t.type == 'Resize'] == [(320, 320)]
    assert ('image size', 'val: Resize.scale (640, 640) -> (320, 320)') in plan.decisions


@pytest.mark.parametrize(('teacher', 'weight'), [('big_retinanet', 10), ('faster_rcnn', 6)])
def test_weight_of_pkd_is_that_of_the_stages(teacher, weight, folder, tmp_path):
    plan = mmkd.plan(**pair(folder, teacher), method='pkd', work_dir=tmp_path)
    assert written(plan).model.distiller.losses.pkd.loss_weight == weight


def test_every_option_reaches_the_config(folder, tmp_path):
    cfg = written(
        mmkd.plan(
            **pair(folder),
            method='pcka',
            method_options={'patch_size': 4, 'pcka': {'loss_weight': 3.0}},
            epochs=8,
            batch_size=3,
            auto_scale_lr=True,
            work_dir=tmp_path,
            options={
                'model.teacher.precision': 'bf16',
                'model.architecture.neck.out_channels': 8,
                'model.architecture.bbox_head.in_channels': 8,
                'model.distiller.losses.pcka.center': True,
                'optim_wrapper.optimizer.lr': 0.5,
                'train_cfg.val_interval': 7,
            },
        )
    )
    assert cfg.model.teacher.precision == 'bf16'
    loss = cfg.model.distiller.losses.pcka
    assert (loss.patch_size, loss.loss_weight, loss.center) == (4, 3.0, True)
    # The pair is looked at as the options make it.
    assert loss.student_connector == {'type': 'mmkd.LevelwiseConv'}
    assert cfg.optim_wrapper.optimizer.lr == 0.5
    assert (cfg.train_cfg.max_epochs, cfg.train_cfg.val_interval) == (8, 7)
    assert cfg.train_dataloader.batch_size == 3
    assert cfg.auto_scale_lr.enable


def test_students_hooks_and_weights_stay(folder, tmp_path):
    hooks = "custom_hooks = [dict(type='EMAHook'), dict(type='mmkd.DataCheckHook')]"
    student = tmp_path / 'student.py'
    student.write_text(f"_base_ = '{folder}/retinanet.py'\nload_from = 'start.pth'\n{hooks}\n")
    cfg = written(
        mmkd.plan(**pair(folder, student=student.stem) | {'student': student}, work_dir=tmp_path)
    )
    assert [hook.type for hook in cfg.custom_hooks] == [
        'EMAHook',
        'mmkd.DataCheckHook',
        'mmkd.TeacherEvaluationHook',
    ]
    assert {'finite_loss', 'epoch_seed'} < set(cfg.default_hooks)
    assert 'data_check' not in cfg.default_hooks
    assert cfg.load_from is None
    assert cfg.model.architecture.init_cfg == {'type': 'Pretrained', 'checkpoint': 'start.pth'}


def test_test_is_the_validation(folder, tiny_coco, tmp_path):
    root = tiny_coco(*CLASSES)
    cfg = written(mmkd.plan(**pair(folder), data=coco(root), work_dir=tmp_path))
    for stage in ('val', 'test'):
        dataset, evaluator = cfg[f'{stage}_dataloader'].dataset, cfg[f'{stage}_evaluator']
        assert dataset.ann_file == evaluator.ann_file == str(root / 'annotations.json')
        assert dataset.metainfo.classes == CLASSES
        assert 'data_root' not in dataset
        assert '_delete_' not in str(dataset)
        assert '_delete_' not in evaluator
        assert evaluator.metric == ['bbox']
        assert dataset.test_mode


def test_names_of_classes_cannot_become_code(folder, tiny_coco, tmp_path):
    names = ('"""\nraise SystemExit', "'); {{ fileDirname }}")
    plan = mmkd.plan(**pair(folder), data=coco(tiny_coco(*names)), work_dir=tmp_path)
    assert written(plan).train_dataloader.dataset.metainfo.classes == names


def test_hooks_that_switch_move_with_the_epochs(folder, tmp_path):
    student = tmp_path / 'student.py'
    hooks = "custom_hooks = [dict(type='PipelineSwitchHook', switch_epoch=5)]"
    student.write_text(f"_base_ = '{folder}/retinanet.py'\n{hooks}\n")
    arguments = pair(folder) | {'student': student}
    plan = mmkd.plan(**arguments, epochs=6, work_dir=tmp_path)
    assert ('schedule', 'PipelineSwitchHook.switch_epoch 5 -> 2') in plan.decisions
    assert written(plan).custom_hooks[0].switch_epoch == 2
    text = 'never reached in 1 epochs: PipelineSwitchHook at epoch 1'
    assert ('schedule', text) in mmkd.plan(**arguments, epochs=1).decisions


def test_without_validation_data_there_is_no_validation(folder, tiny_coco, tmp_path):
    data = {'train': coco(tiny_coco(*CLASSES))['train'], 'val': None}
    plan = mmkd.plan(**pair(folder), data=data, work_dir=tmp_path)
    cfg = written(plan)
    assert cfg.val_dataloader is cfg.val_cfg is cfg.val_evaluator is cfg.test_dataloader is None
    assert cfg.train_dataloader.dataset.pipeline[1].scale == (128, 96)
    assert ('evaluation', 'none, as there is no validation data') in plan.decisions


def test_teachers_that_cannot_be_evaluated_are_said(folder, tiny_coco, tmp_path):
    plan = mmkd.plan(**pair(folder), data=coco(tiny_coco(*CLASSES)), work_dir=tmp_path)
    text = 'the student alone: the teacher has 3 classes, the data 2'
    assert ('evaluation', text) in plan.decisions
    assert 'TeacherEvaluationHook' not in plan.text


def test_written_config_is_edited_and_run_by_train(folder, tmp_path, monkeypatch):
    trained = []

    class Idle:
        hooks = ()

        def __init__(self, cfg):
            self.cfg = cfg

        def register_hook(self, hook):
            pass

        def train(self):
            pass

    def build(cfg):
        trained.append(cfg)
        return Idle(cfg)

    monkeypatch.setattr(training, 'build_runner', build)
    monkeypatch.setattr('mmkd.api.running.build_runner', build)
    monkeypatch.setattr(training, 'export', lambda *_, **__: None)
    arguments = pair(folder, method='mimic', work_dir=tmp_path)
    cfg = written(mmkd.plan(**arguments))
    result = mmkd.distill(**arguments)  # the same again
    assert trained[0].model.to_dict() == cfg.model.to_dict()
    assert result.metrics == {'student': {}, 'teacher': {}}
    config = Path(cfg.filename)
    config.write_text(config.read_text().replace('loss_weight=1.0', 'loss_weight=3.0'))
    train.main([str(config)])
    assert trained[1].model.distiller.losses.mimic.loss_weight == 3.0
    with pytest.raises(FileExistsError, match=r'already there, .* choose another work_dir'):
        mmkd.distill(**arguments)
    assert 'loss_weight=3.0' in config.read_text()


# --- what does not fit


@pytest.mark.parametrize(
    ('changes', 'message'),
    [
        ({'method': 'pkcka'}, r"method: expected one of \['recipe', .*a detector, got 'pkcka'"),
        ({'method': 'dkd'}, r'method: expected one of .*pcka'),
        ({'teacher': 'big'}, r'teacher: expected a detector, .* got a classifier'),
        ({'teacher_checkpoint': None}, r'teacher_checkpoint: expected .* got nothing'),
        ({'student': 3}, r'student: expected the path of a config, a Config or a built model'),
        ({'data': 'nowhere'}, r'data: no such folder: nowhere'),
        ({'image_size': 0}, r'image_size: expected'),
        ({'epochs': 0}, r'epochs: expected a positive whole number'),
        ({'method_options': {'weight': 3}}, r"no loss takes 'weight'; .*pkd: .*loss_weight"),
        ({'options': {'param_scheduler.0.end': 5}}, r'positions in lists, got .param_sch'),
    ],
)
def test_wrong_arguments_are_named(changes, message, folder, tmp_path):
    if changes.get('teacher'):
        changes = changes | {'teacher': folder / 'big.py'}
    with pytest.raises((ValueError, FileNotFoundError, TypeError), match=message):
        mmkd.plan(**{**pair(folder), 'work_dir': tmp_path, **changes})
    assert not [*tmp_path.iterdir()]


def test_mixed_precision_needs_a_gpu(folder, tmp_path, monkeypatch):
    monkeypatch.setattr('mmkd.api.drafting.get_device', lambda: 'cpu')
    with pytest.raises(ValueError, match=r'amp: expected a GPU'):
        mmkd.plan(**pair(folder), amp=True)
    monkeypatch.setattr('mmkd.api.drafting.get_device', lambda: 'cuda')
    cfg = written(mmkd.plan(**pair(folder), amp=True, work_dir=tmp_path))
    assert (cfg.optim_wrapper.type, cfg.optim_wrapper.loss_scale) == ('AmpOptimWrapper', 'dynamic')


def test_config_of_a_distillation_is_no_student(folder, tmp_path):
    cfg = written(mmkd.plan(**pair(folder), work_dir=tmp_path))
    with pytest.raises(ValueError, match=r'student: expected the config of a plain model'):
        mmkd.plan(**pair(folder) | {'student': cfg.filename})


def test_logits_of_other_classes_are_refused(folder, class_folders, tiny_coco, tmp_path):
    with pytest.raises(ValueError, match=r"the student's 2 classes, .* got 10; .* fkd or dlkd"):
        mmkd.plan(**pair(folder, 'big', 'small'), data=class_folders)
    with pytest.raises(ValueError, match=r'student: .* two-stage .* equally many stages, or pcka'):
        mmkd.plan(**pair(folder, 'faster_rcnn'), method='cmkd')
    with pytest.raises(ValueError, match=r"the student's 2 classes, .* got 3; .* pcka or fkd"):
        mmkd.plan(**pair(folder), method='cmkd', data=coco(tiny_coco(*CLASSES)))


def test_checkpoint_of_another_network_stops_the_check(folder, tmp_path):
    arguments = pair(folder) | {'teacher_checkpoint': folder / 'big.pth'}
    plan = mmkd.plan(**arguments, work_dir=tmp_path)
    plan.write()
    with pytest.raises(ValueError, match=r'does not match RetinaNet'):
        plan.check()


# --- the package


def test_names_of_the_package_are_found_at_their_first_use():
    assert {'distill', 'plan', 'export', 'Result', 'Plan'} <= {*dir(mmkd)}
    assert all(callable(getattr(mmkd, name)) for name in mmkd.__all__ if name != '__version__')
    with pytest.raises(AttributeError, match=r"module 'mmkd' has no attribute 'distil'"):
        _ = mmkd.distil


def test_plain_pytorch_example_learns(repo):
    script = repo / 'docs/examples/plain_pytorch.py'
    assert len(script.read_text().splitlines()) <= 40
    run = subprocess.run([sys.executable, script], capture_output=True, text=True, check=True)
    losses = [float(value) for value in re.findall(r'loss (\d\.\d+)\n', run.stdout)]
    assert len(losses) == 4
    assert losses[-1] < losses[0] / 2
