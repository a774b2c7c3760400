"""Misspelled and wrong settings are named with what was meant; published configs pass."""

import copy

import pytest
import torch
from mmengine.config import Config

import mmkd.registry  # noqa: F401
from mmkd.checking.build_errors import explain_building
from mmkd.checking.environment import check_environment
from mmkd.checking.setting_names import check_options, check_top_names
from mmkd.checking.setting_values import check_values
from mmkd.registry import MODELS

PUBLISHED = [
    'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py',
    'mmdet::rtmdet/rtmdet_s_8xb32-300e_coco.py',
    'mmdet::dino/dino-4scale_r50_8xb2-12e_coco.py',
    'mmdet::qdtrack/qdtrack_faster-rcnn_r50_fpn_8xb2-4e_mot17halftrain_test-mot17halfval.py',
    'mmdet::soft_teacher/soft-teacher_faster-rcnn_r50-caffe_fpn_180k_semi-0.1-coco.py',
    'mmdet::glip/glip_atss_swin-t_a_fpn_dyhead_16xb2_ms-2x_funtune_coco.py',
    'mmpretrain::resnet/resnet50_8xb32_in1k.py',
    'mmpretrain::mae/mae_vit-base-p16_8xb512-amp-coslr-300e_in1k.py',
]


@pytest.fixture(scope='module')
def digits(repo):
    return repo / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'


@pytest.fixture(scope='module')
def read(digits):
    return Config.fromfile(digits)


@pytest.fixture
def cfg(read):
    return copy.deepcopy(read)


@pytest.mark.parametrize('name', PUBLISHED)
def test_published_configs_pass(name):
    cfg = Config.fromfile(Config._get_cfg_path(name, '')[0])
    check_top_names(cfg)
    check_values(cfg)


@pytest.mark.parametrize(
    ('typo', 'meant'),
    [
        ('optim_wraper', 'optim_wrapper'),
        ('modle', 'model'),
        ('train_dataloder', 'train_dataloader'),
        ('custom_hook', 'custom_hooks'),
        ('param_schedulers', 'param_scheduler'),
        ('load_form', 'load_from'),
    ],
)
def test_a_misspelled_setting_is_named(typo, meant):
    with pytest.raises(ValueError, match=f'{typo}: no setting of MMEngine; did you mean {meant}'):
        check_top_names(Config({typo: {}}))


@pytest.mark.parametrize(
    ('settings', 'problem'),
    [
        (dict(auto_scale_lr=dict(enabel=True)), r'auto_scale_lr\.enabel: .*mean enable'),
        (dict(env_cfg=dict(cudnn_benchmrk=True)), r'env_cfg\.cudnn_benchmrk: .*cudnn_benchmark'),
        (
            dict(optim_wrapper=dict(paramwise_cfg=dict(bias_lr_mul=1))),
            r'optim_wrapper\.paramwise_cfg\.bias_lr_mul: .*bias_lr_mult',
        ),
    ],
)
def test_a_misspelled_setting_within_others_is_named(settings, problem):
    with pytest.raises(ValueError, match=problem):
        check_top_names(Config(settings))


@pytest.mark.parametrize('name', ['data_root', 'train_pipeline', 'backend_args', 'val_evaluator_2'])
def test_variables_of_a_config_stay(name):
    check_top_names(Config({name: {}}))


@pytest.mark.parametrize(
    'option',
    [
        'train_cfg.max_epochs',
        'train_cfg.val_begin',
        'model.teacher.precision',
        'model.teacher.backbone.frozen_stages',
        'model.architecture.bbox_head.loss_cls.loss_weight',
        'model.distiller.losses.pcka.loss_weight',
        'model.compile',
        'default_hooks.checkpoint.max_keep_ckpts',
        'default_hooks.finite_loss.interval',
        'visualizer.vis_backends.0.type',
        'env_cfg.dist_cfg.backend',
        'find_unused_parameters',
        'optim_wrapper.paramwise_cfg.norm_decay_mult',
        'optim_wrapper.loss_scale',
        'optim_wrapper.accumulative_counts',
        'optim_wrapper.clip_grad.max_norm',
        'param_scheduler.0.end',
        'randomness.seed',
        'resume',
        'load_from',
        'work_dir',
    ],
)
def test_settings_may_be_changed_and_added(cfg, option):
    check_options(cfg, {option: 1})


def test_a_new_entry_comes_with_its_type(cfg):
    new = {'model.distiller.losses.mimic.type': 'MSELoss', 'model.distiller.losses.mimic.on': 'x'}
    check_options(cfg, new)
    check_options(cfg, {'optim_wrapper.type': 'AmpOptimWrapper', 'optim_wrapper.dtype': 'bfloat16'})


@pytest.mark.parametrize(
    ('option', 'hint'),
    [
        ('modle.x', 'did you mean model?'),
        ('foo.bar', 'no setting of MMEngine'),
        ('max_epochs', 'did you mean train_cfg.max_epochs'),
        ('lr', 'did you mean optim_wrapper.optimizer.lr?'),
        ('distiller.losses.pcka.loss_weight', 'did you mean model.distiller'),
        ('train_cfg.max_epoch', 'did you mean max_epochs'),
        ('model.teacher.precison', 'did you mean precision'),
        ('model.techer.checkpoint', 'did you mean teacher'),
        ('model.architecture.bbox_head.num_clases', 'did you mean num_classes'),
        ('model.distiller.losses.pka.loss_weight', 'did you mean pcka'),
        ('default_hooks.checkpoint.max_keep_ckpt', 'did you mean max_keep_ckpts'),
        ('optim_wrapper.optimizer.learning_rate', 'expected one of'),
        ('optim_wrapper.paramwise_cfg.norm_decay_mlt', 'did you mean norm_decay_mult'),
        ('train_dataloader.dataset.data_prefix.image', 'did you mean img'),
        ('param_scheduler.9.end', 'expected an index below 2'),
        ('train_cfg.max_epochs.x', 'train_cfg.max_epochs is 16, which has no settings'),
    ],
)
def test_an_option_without_effect_is_named(cfg, option, hint):
    with pytest.raises(ValueError, match=option.replace('.', r'\.')) as error:
        check_options(cfg, {option: 1})
    assert hint in str(error.value)


@pytest.mark.parametrize(
    ('option', 'value', 'expected'),
    [
        ('train_cfg.max_epochs', 0, 'a positive integer'),
        ('train_cfg.max_epochs', 'a', 'a positive integer'),
        ('train_cfg.val_interval', 0, 'a positive integer'),
        ('train_dataloader.batch_size', 0, 'a positive integer'),
        ('val_dataloader.num_workers', -1, 'an integer >= 0'),
        ('train_dataloader.num_workers', 'a', 'an integer >= 0'),
        ('optim_wrapper.optimizer.lr', -0.1, 'a finite number > 0'),
        ('optim_wrapper.optimizer.lr', 0, 'a finite number > 0'),
        ('optim_wrapper.optimizer.lr', 'abc', 'a finite number > 0'),
        ('optim_wrapper.clip_grad.max_norm', 0, 'a finite number > 0'),
        ('train_dataloader.dataset.pipeline', [], 'a list of at least one step'),
        ('default_hooks.timer.priority', 'HIHG', 'a priority'),
        ('default_hooks.checkpoint.rule', 'bigger', "'greater', 'less' or None"),
        ('default_hooks.checkpoint.by_epoch', 'abc', 'True or False'),
        ('env_cfg.mp_cfg.mp_start_method', 'forkk', "'fork'"),
        ('env_cfg.dist_cfg.backend', 'foo', 'a backend'),
        ('model.data_preprocessor.pad_size_divisor', 0, 'a positive integer'),
        ('model.distiller.losses.pcka', None, 'the dict of a loss'),
        ('optim_wrapper.accumulative_counts', 0, 'a positive integer'),
        ('default_hooks.checkpoint.interval', 0, 'a positive integer, or -1'),
        ('default_hooks.logger.interval', 0, 'a positive integer'),
        ('default_hooks.checkpoint', 5, 'the dict of a hook'),
        ('custom_hooks', 'a', 'a list'),
        ('model.teacher', None, 'a dict'),
        ('model.distiller', 3, 'a dict'),
        ('model.distiller.losses.pcka.loss_weight', -1, 'a finite number >= 0'),
        ('model.distiller.losses.pcka.loss_weight', 'abc', 'a finite number >= 0'),
        ('model.distiller.losses.pcka.loss_weight', float('nan'), 'a finite number >= 0'),
        ('model.distiller.losses.pcka.tau', 0, 'a finite number > 0'),
        ('randomness.seed', 'x', 'an integer >= 0'),
        ('auto_scale_lr.base_batch_size', 0, 'a positive integer'),
        ('resume', 'yes', 'True or False'),
        ('load_from', 3, 'a path'),
        ('log_level', 'LOUD', 'a level'),
    ],
)
def test_a_value_of_the_wrong_kind_is_named(cfg, option, value, expected):
    cfg.merge_from_dict({option: value})
    with pytest.raises(ValueError, match=option.replace('.', r'\.')) as error:
        check_values(cfg)
    assert f'{option}: expected {expected}' in str(error.value)
    assert str(error.value).endswith(f'got {value!r}')


def test_a_run_has_a_model_and_a_distiller_losses(cfg):
    with pytest.raises(ValueError, match=r"expected a `model`, got only \['train_cfg'\]"):
        check_values(Config(dict(train_cfg={})))
    cfg.model.distiller.losses = {}
    with pytest.raises(ValueError, match=r'model\.distiller: expected at least one loss'):
        check_values(cfg)


@pytest.mark.parametrize(
    ('settings', 'problem'),
    [
        (dict(launcher='pytorch'), r'launcher: pytorch needs .*RANK.*tools/dist_train\.sh'),
        (dict(launcher='ssh'), r"launcher: expected one of \['none'"),
        (dict(device='cuda'), r'device: expected cpu'),
        (dict(optim_wrapper=dict(type='AmpOptimWrapper')), r'optim_wrapper\.type: .*a GPU'),
        (dict(work_dir='{file}/run'), r'work_dir: expected a folder'),
        (dict(work_dir=None), r'work_dir: expected a folder'),
    ],
)
def test_what_the_machine_lacks_is_named(settings, problem, tmp_path, monkeypatch):
    monkeypatch.delenv('RANK', raising=False)
    monkeypatch.setattr('mmkd.checking.environment.get_device', lambda: 'cpu')
    file = tmp_path / 'a file'
    file.touch()
    settings = dict(work_dir=str(tmp_path)) | settings
    if settings['work_dir']:
        settings['work_dir'] = settings['work_dir'].format(file=file)
    with pytest.raises(ValueError, match=problem):
        check_environment(Config(settings))


@pytest.mark.parametrize(
    ('loss', 'problem'),
    [
        (dict(type='mmkd.PCKALos'), r'model\.loss\.type: no mmkd\.PCKALos is registered.*PCKALoss'),
        (dict(type='mmkd.PCKALoss', wieght=1), r'model\.loss\.wieght: no argument of PCKALoss'),
    ],
)
def test_errors_of_building_name_the_place(loss, problem):
    with (
        pytest.raises(ValueError, match=problem),
        explain_building(Config(dict(model=dict(loss=loss)))),
    ):
        MODELS.build(dict(loss))


def test_errors_of_other_packages_name_the_setting():
    backbone = dict(type='mmdet.ResNet', depth=19)
    cfg = Config(dict(model=dict(backbone=backbone)))
    with (
        pytest.raises(
            ValueError, match=r'model\.backbone \(mmdet\.ResNet\): invalid depth 19.*KeyError'
        ),
        explain_building(cfg),
    ):
        MODELS.build(backbone)


@pytest.fixture
def said(monkeypatch):
    """The warnings so far."""
    texts = []
    monkeypatch.setattr(
        'mmkd.checking.setting_values.print_log', lambda text, *_: texts.append(text)
    )
    return texts


def test_a_loss_without_weight_is_said_to_have_no_effect(cfg, said):
    cfg.model.distiller.losses.pcka.loss_weight = 0.0
    check_values(cfg)
    assert said == ['model.distiller.losses.pcka.loss_weight: 0, so this loss has no effect']


@pytest.mark.parametrize('reduction', ['mean', 'none', 'sum', 'batchmean', None])
def test_a_dkd_that_sums_where_a_config_says_otherwise(cfg, said, reduction):
    """What MMRazor's loss really returns decides whether the config's reader is warned."""
    from mmrazor.models.losses import DKDLoss

    settings = {} if reduction is None else dict(reduction=reduction)
    logits = torch.randn(2, 4, 5, generator=torch.Generator().manual_seed(0))
    labels = torch.tensor([0, 2, 1, 4])
    value, total = (DKDLoss(**s)(*logits, labels) for s in (settings, dict(reduction='sum')))
    is_sum = value.shape == () and torch.isclose(value, total)
    assert is_sum == (reduction in ('mean', 'none', 'sum'))

    loss = dict(type='DKDLoss', on='head.fc', **settings)
    for path, entry in dict(dkd=loss, nested=dict(loss=dict(loss, type='mmrazor.DKDLoss'))).items():
        cfg.model.distiller.losses[path] = entry
    check_values(cfg)
    expected = [
        f"model.distiller.losses.{path}.reduction: {reduction!r}, but MMRazor's DKDLoss then "
        "returns a sum; set 'batchmean', its default, for the mean over samples"
        for path in ('dkd', 'nested.loss')
    ]
    assert said == (expected if reduction in ('mean', 'none') else [])
