"""Every config of the table of published settings has those settings, and is the one written."""

import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from mmkd.algorithms.short_config import expand_distiller
from mmkd.api.running import load_config
from mmkd.models.loss_names import loss_name

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / 'benchmarks'))

import make_configs  # noqa: E402
import published  # noqa: E402

CONFIGS = REPO / 'configs'
# Rows that the table's functions do not make: written by hand, settings as published.
CCKD = dict(type='mmkd.CCKDLoss', kernel='rbf', order=2, gamma=0.4, loss_weight=0.003)
BY_HAND = {
    'cckd/cckd_resnet110_resnet20_cifar100.py': ('cifar cckd', dict(cckd=CCKD)),
    'cckd/cckd_resnet110_resnet14_cifar100.py': ('cifar cckd', dict(cckd=CCKD)),
    'cckd/cckd_resnet50_mobilenet-v2-w0.5_in1k.py': ('in1k cckd', dict(cckd=CCKD)),
    **{
        f'fkd/fkd_vgg13-cifar100_vgg8_{data}.py': ('transfer', published.FKD.losses)
        for data in ('cifar10', 'stl10', 'tiny-imagenet')
    },
}
PCKA = 'pcka/ablations/pcka_{}_retinanet_x101_r50_fpn_2x_coco.py'
# Tables 5 and 11 to 13 of PCKA: what differs from the main config.
PCKA_ABLATIONS = {
    'weight5': dict(loss_weight=5.0),
    'weight15': dict(loss_weight=15.0),
    'average-batch': dict(average='batch'),
    'average-spatial': dict(average='spatial'),
    'average-mixed': dict(average=('batch', 'spatial', 'channel'), levels=(0, 1, 2)),
    'levels1': dict(levels=(0,)),
    'levels2': dict(levels=(0, 1)),
    'levels3': dict(levels=(0, 1, 2)),
}
EVERY = [
    *((published.config_of(row), row.schedule, published.method_of(row).losses)
      for row in published.ROWS),
    *((config, schedule, losses) for config, (schedule, losses) in BY_HAND.items()),
    *((PCKA.format(name), 'coco', dict(pcka={**published.PCKA.losses['pcka'], **change}))
      for name, change in PCKA_ABLATIONS.items()),
]  # fmt: skip
NAMES = {'mmkd.ALRS': published.ALRS, 'CosineAnnealingLR': published.COSINE}


def schedule_of(cfg):
    """What a config says about its schedule, in the table's terms."""
    schedulers = cfg.param_scheduler
    schedulers = [schedulers] if isinstance(schedulers, Mapping) else schedulers
    optimizer = cfg.optim_wrapper.optimizer
    milestones = [
        NAMES[s.type] if s.type in NAMES else tuple(s.milestones)
        for s in schedulers
        if s.type in NAMES or s.type == 'MultiStepLR'
    ]
    return dict(
        batch=cfg.auto_scale_lr.base_batch_size,
        images=cfg.train_dataloader.batch_size,
        lr=optimizer.lr,
        weight_decay=optimizer.weight_decay,
        epochs=cfg.train_cfg.max_epochs,
        milestones=milestones,
    )


def assert_holds(settings, expected, path):
    """Each expected setting, at any depth, is there; tuples and lists are the same."""
    for key, value in expected.items():
        if isinstance(value, Mapping):
            assert_holds(settings[key], value, f'{path}.{key}')
        else:
            given = settings[key]
            given = tuple(given) if isinstance(given, list) else given
            assert given == value, f'{path}.{key}'


@pytest.mark.parametrize(('config', 'schedule', 'losses'), EVERY, ids=[row[0] for row in EVERY])
def test_config_has_the_published_settings(config, schedule, losses):
    cfg = load_config(str(CONFIGS / config))
    expected = published.SCHEDULES[schedule]
    assert schedule_of(cfg) == dict(
        batch=expected.gpus * expected.images,
        images=expected.images,
        lr=expected.lr,
        weight_decay=expected.weight_decay,
        epochs=expected.epochs,
        milestones=[expected.milestones],
    )
    distiller = expand_distiller(cfg.model.distiller)
    own = {loss_name(name): arguments for name, arguments in losses.items()}
    for name, arguments in own.items():
        arguments = {k: v for k, v in arguments.items() if k != 'student_connector'}
        assert_holds(distiller['distill_losses'][name], arguments, f'{config}: {name}')
    extra = {name.split('_')[1] for name in distiller['distill_losses'].keys() - own.keys()}
    assert extra <= ({'kd'} if config.startswith('cckd/') else set())


@pytest.mark.parametrize('config', [config for config in BY_HAND if config.startswith('cckd/')])
def test_cckd_has_embeddings_in_both_networks_and_no_cross_entropy(config):
    model = load_config(str(CONFIGS / config)).model
    assert model.architecture.head.loss.loss_weight == 0
    for network in (model.architecture, model.teacher):
        own = load_config(network.cfg_path)
        assert own.model.neck.type == 'mmpretrain.LinearNeck'
        assert own.model.neck.out_channels == own.model.head.in_channels == 128


@pytest.mark.parametrize('expansion', [0.25, 0.5, 1, 2, 4, 8, 32, 64])
def test_hidden_widths_of_dlkd(expansion):
    pair = 'resnet32x4_shufflenetv2_cifar100'
    cfg = load_config(str(CONFIGS / f'dlkd/ablations/dlkd_align-x{expansion}_{pair}.py'))
    connector = dict(cfg.model.distiller.losses.dlkd_align.student_connector)
    assert connector == dict(type='mmkd.ProjectionMLP', expansion=expansion)


def test_rows_are_distinct():
    configs = [row[0] for row in EVERY]
    assert len(set(configs)) == len(configs)


def test_what_is_committed_is_what_the_table_gives(tmp_path):
    for path in make_configs.write(tmp_path):
        name = path.relative_to(tmp_path)
        assert path.read_text() == (CONFIGS / name).read_text(), name
    for folder in {published.config_of(row).split('/')[0] for row in published.ROWS}:
        for file, make in (
            ('README.md', make_configs.readme),
            ('metafile.yml', make_configs.metafile),
        ):
            assert make(folder) == (CONFIGS / folder / file).read_text(), f'{folder}/{file}'
