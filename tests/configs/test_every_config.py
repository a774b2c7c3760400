"""Configs build as they are, train a step, are evaluated, and give a plain student.

Of those that differ by a number, one is tried.
"""

import re
import sys
from pathlib import Path

import pytest
import torch
from mmengine.config import Config, ConfigDict
from mmengine.hooks import Hook

from mmkd.algorithms.short_config import expand_distiller
from mmkd.api.running import build_runner, load_config
from mmkd.exporting import student_config, student_state_dict
from mmkd.models.building import build_model, model_config

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / 'benchmarks'))

from make_configs import BY_HAND as MAKE_BY_HAND  # noqa: E402
from make_configs import LOGITS  # noqa: E402
from published import ROWS, config_of  # noqa: E402

CONFIGS = REPO / 'configs'
EVERY = sorted(
    path.relative_to(CONFIGS).as_posix()
    for path in CONFIGS.rglob('*.py')
    if '_base_' not in path.parts
)
NETWORKS = ('cifar100', 'digits', 'imagenet', 'transfer')  # folders of teachers and students alone
DISTILLATION = [name for name in EVERY if name.split('/')[0] not in NETWORKS]
# The light pairs, on which methods are tried.
DETECTORS = ('retinanet_r101_r50_fpn_2x_coco', 'faster_rcnn_r101_r50_fpn_2x_coco')
LIGHT = (*DETECTORS, 'resnet20_resnet8_cifar100', 'resnet32x4_resnet8x4_cifar100')


def sample_of_the_table():
    """Of the configs that the table of published settings writes: each method, and each pair.

    A method is tried once on each data set, on both light pairs of detectors, and on each
    detector's layer of class logits; of those that differ by a number, one, and none that differs
    by the numbers of released code. test_published.py reads all of them.
    """
    chosen, seen = set(), set()
    rows = [row for row in ROWS if not row.method.endswith('_released')]
    for row in sorted(rows, key=lambda row: row.pair not in LIGHT):
        method = re.sub(r'[\d.]+$', '', row.method)
        kinds = {row.pair, (method, row.pair.rsplit('_', 1)[1])}
        if row.pair in DETECTORS:
            kinds.add((method, row.pair))
        if method == 'kd':
            kinds.add(LOGITS.get(row.pair.split('_')[0]))
        if not kinds <= seen:
            chosen.add(config_of(row))
        seen |= kinds
    return chosen


def sample_of_ablations():
    """One of those whose second word differs by a number: ``cckd_cur-k1_...`` for all ``cur-k``."""
    chosen = {}
    for name in EVERY:
        if 'ablations' in name:
            method, kind, *_ = Path(name).stem.split('_')
            chosen.setdefault((Path(name).parent, method, re.sub(r'[\d.]+$', '', kind)), name)
    return {*chosen.values()}


WRITTEN = {config_of(row) for row in ROWS} - set(MAKE_BY_HAND)
NOT_TRIED = (WRITTEN - sample_of_the_table()) | (
    {name for name in EVERY if 'ablations' in name} - sample_of_ablations()
)
TRIED = [name for name in EVERY if name not in NOT_TRIED]
PUBLISHED = [name for name in DISTILLATION if not name.endswith('_digits.py')]
BASELINES = ('at', 'cwd', 'dist', 'dkd', 'fbkd', 'fitnet', 'kd', 'mgd', 'pkd', 'rkd', 'sp')
SIZE = (128, 96)
# CKA of two instances is 0 by definition, and FBKD pools maps that must not be too small.
IMAGES = {'rcka/rcka_cascade_mask_rcnn_x101_faster_rcnn_r50_fpn_2x_coco.py': 4}
SIZES = {
    'baselines/fbkd/fbkd_gfl_r18w48_r18w16_fpn_digits.py': (160, 160),
    **{f'baselines/fbkd/fbkd_{pair}.py': (256, 256) for pair in DETECTORS},
}


def nested_dicts(value):
    """Every dict inside a config, outermost first."""
    if isinstance(value, dict):
        yield value
        value = value.values()
    if isinstance(value, dict | list | tuple | type({}.values())):
        for item in value:
            yield from nested_dicts(item)


def without_downloads(cfg):
    """The config with random weights in place of published ones; the architecture stays."""
    teacher = cfg.model.get('teacher', {})
    teachers = [*teacher.get('members', {'': teacher}).values()]
    for model in (cfg.model.get('architecture'), *teachers):
        if model and 'cfg_path' in model:
            model.setdefault('backbone', ConfigDict()).init_cfg = None
    for model in filter(None, teachers):
        model.checkpoint = None
    return cfg


def shrink_models(cfg, name):
    """What small images or many configs ask for; every pair is trained with its own teacher."""
    if name.startswith('pcka/ablations'):
        cfg.model.teacher.backbone.update(depth=50, groups=1)
    if name.startswith('baselines') and name.endswith('_coco.py'):
        cfg.model.teacher.backbone.depth = 50
    if 'dino' in name:
        cfg.model.architecture.num_queries = 100  # there are fewer than 900 positions


def shrink_data(cfg, name, data):
    """A few small images to train on and to evaluate, in the config's own pipelines."""
    loaders = [cfg.train_dataloader, cfg.val_dataloader, cfg.test_dataloader]
    if 'unlabeled_dataloader' in cfg.train_cfg:
        loaders.append(cfg.train_cfg.unlabeled_dataloader)
    classifies = cfg.default_scope == 'mmpretrain'
    for loader in loaders:
        loader.update(num_workers=0, persistent_workers=False)
        if classifies:
            shrink_classification(loader, data)
        else:
            shrink_detection(loader, data, IMAGES.get(name, 2))
    if not classifies:
        shrink_images([loaders, cfg.custom_hooks], SIZES.get(name, SIZE))
    for evaluator in (cfg.val_evaluator, cfg.test_evaluator):
        if 'ann_file' in evaluator:
            evaluator.ann_file = f'{data}/annotations.json'
    cfg.train_cfg.val_interval = 1


def shrink_images(pipelines, size):
    """Sizes in transforms, those of multi-scale training, mosaics and crops included."""
    for transform in nested_dicts(pipelines):
        for key in {'scale', 'img_scale', 'size'} & transform.keys():
            transform[key] = size
        if 'scales' in transform:
            transform['scales'] = [size]
        if 'crop_size' in transform:
            # A square serves those that ask for the smaller side first; it is padded to size.
            transform['crop_size'] = (min(size), min(size))


class Stop(Hook):
    """Ends the training after some epochs, with the schedule of the whole of it."""

    def __init__(self, epochs):
        self.epochs = epochs

    def after_train_epoch(self, runner):
        runner.train_loop.stop_training = runner.epoch + 1 == self.epochs


def shrink_detection(loader, data, count):
    """So many images, in one batch."""
    loader.batch_size = count
    if loader.dataset.type == 'mmkd.DigitScenesDataset':
        loader.dataset.update(num_images=count, image_size=96)
    else:
        loader.dataset.update(
            data_root=f'{data}/',
            ann_file='annotations.json',
            data_prefix=dict(img='images/'),
            indices=count,
        )


def shrink_classification(loader, data):
    """Eight images of two classes, written by the fixture ``data_of``; four of each digit."""
    loader.batch_size = 40 if loader.dataset.type == 'mmkd.DigitsDataset' else 8
    if 'batch_size' in loader.sampler:
        few = min(loader.sampler.num_per_class, 4)
        loader.sampler.update(batch_size=loader.batch_size, num_per_class=few)
    if 'superclasses' in loader.sampler:
        loader.sampler.superclasses = str(data / 'superclasses.npz')
    if loader.dataset.type == 'mmkd.DigitsDataset':
        loader.dataset.num_samples = 40
    elif 'root' in loader.dataset:
        loader.dataset.root = str(data)
    else:
        loader.dataset.update(data_root=str(data), data_prefix='', ann_file='list.txt')
        if 'split' in loader.dataset:
            loader.dataset.split = ''


@pytest.fixture(scope='session')
def data_of(tiny_coco, tiny_images):
    """Function: folder of the images for a config."""
    from mmdet.datasets import CocoDataset

    classes = CocoDataset.METAINFO['classes']
    return lambda cfg: tiny_images if cfg.default_scope == 'mmpretrain' else tiny_coco(*classes)


def shrunk(name, data_of, work_dir):
    """The config ``name``, small enough to be run here."""
    cfg = without_downloads(load_config(str(CONFIGS / name)))
    shrink_data(cfg, name, data_of(cfg))
    shrink_models(cfg, name)
    cfg.work_dir = str(work_dir)
    return cfg


@pytest.mark.slow
@pytest.mark.parametrize('name', TRIED)
def test_one_step_and_one_evaluation(name, data_of, tmp_path):
    cfg = shrunk(name, data_of, tmp_path)
    runner = build_runner(cfg)
    runner.register_hook(Stop(1))
    before = {key: value.clone() for key, value in runner.model.named_parameters()}
    runner.train()
    assert runner.iter == 1
    scalars = runner.message_hub.log_scalars
    losses = {key: value.current() for key, value in scalars.items() if 'loss' in key}
    assert torch.tensor([*losses.values()]).isfinite().all(), losses
    if name in DISTILLATION:
        assert_losses_are_named(cfg, losses)
    changed = [
        key
        for key, value in runner.model.named_parameters()
        if value.requires_grad and not torch.equal(value, before[key])
    ]
    assert any('backbone' in key for key in changed)
    assert any(part in key for key in changed for part in ('neck', 'head'))
    assert any(key.startswith('val/') for key in scalars)
    if name in PUBLISHED:
        assert_student_is_that_of_its_config(cfg, runner.model.state_dict())


def assert_losses_are_named(cfg, losses):
    losses_of = expand_distiller(cfg.model.distiller)['distill_losses']
    expected = {f'train/distill.{name}' for name in losses_of}
    assert expected <= losses.keys()
    # A transformer's head begins at zero, where losses on logits are 0.
    assert all(losses[name] >= 0 for name in expected)
    assert any(losses[name] > 0 for name in expected)
    assert any(name.startswith('train/student.') for name in losses)


def assert_student_is_that_of_its_config(cfg, state_dict):
    """The student's own config takes the exported student: no missing and no unexpected key."""
    own = build_model(cfg.model.architecture)
    own.load_state_dict(student_state_dict(state_dict), strict=True)


@pytest.mark.slow
def test_last_epochs_of_rtmdet_are_without_mosaic(data_of, tmp_path):
    cfg = shrunk('pcka/pcka_rtmdet_l_rtmdet_s_300e_coco.py', data_of, tmp_path)
    switch = next(hook for hook in cfg.custom_hooks if hook.type == 'PipelineSwitchHook')
    assert switch.switch_epoch == cfg.train_cfg.max_epochs - 20
    switch.switch_epoch = 1
    runner = build_runner(cfg)
    runner.register_hook(Stop(2))
    mosaics = []
    runner.model.register_forward_pre_hook(
        lambda *_: mosaics.append('CachedMosaic' in repr(runner.train_dataloader.dataset.pipeline))
    )
    runner.train()
    assert mosaics[0] is True
    assert runner.iter == 2
    assert 'CachedMosaic' not in repr(runner.train_dataloader.dataset.pipeline)


# An ablation has the student of the config that it varies.
@pytest.mark.parametrize('name', [n for n in TRIED if n in DISTILLATION and 'ablations' not in n])
def test_student_config_is_plain(name):
    cfg = student_config(load_config(str(CONFIGS / name)))
    text = cfg.pretty_text
    assert 'teacher' not in cfg.model
    assert 'FrozenTeacherDistill' not in text
    assert not any(word in text for word in ('distill', 'recorder', 'student', 'teacher'))
    assert Config.fromstring(text, '.py').to_dict() == cfg.to_dict()


@pytest.mark.parametrize('name', TRIED)
def test_name_inside_the_package_gives_the_same_config(name):
    assert load_config(f'mmkd::{name}').to_dict() == load_config(str(CONFIGS / name)).to_dict()


@pytest.mark.parametrize('name', EVERY)
def test_folder_describes_the_config(name):
    folder, _, path = name.partition('/')
    assert path in (CONFIGS / folder / 'README.md').read_text()


@pytest.mark.parametrize('folder', sorted({name.split('/')[0] for name in PUBLISHED}))
def test_metafile_has_every_published_config(folder):
    """Every one, and no other; a config and its entry have the same name."""
    from mmengine.fileio import load

    models = load(CONFIGS / folder / 'metafile.yml')['Models']
    entries = {model['Config']: model['Name'] for model in models}
    in_folder = [name for name in DISTILLATION if name.split('/')[0] == folder]
    expected = {name for name in in_folder if name in PUBLISHED}
    assert expected <= {path.removeprefix('configs/') for path in entries}
    assert {path.removeprefix('configs/') for path in entries} <= set(in_folder)
    assert all(Path(path).stem == name for path, name in entries.items())


@pytest.mark.parametrize('name', [name for name in TRIED if name in DISTILLATION])
def test_file_name_says_what_the_config_holds(name):
    """``{method}_{teacher}_{student}_{schedule}_{dataset}.py``, in the method's folder."""
    folder, stem = Path(name).parent.name, Path(name).stem
    method = stem.split('_')[0]
    others = {'ablations': (Path(name).parts[0], 'mmd', *BASELINES)}
    assert method in others.get(folder, (folder,))
    cfg = load_config(str(CONFIGS / name))
    schedule = re.search(r'_(\d+)([xe])_coco$', stem)
    if schedule:
        epochs = {'x': 12, 'e': 1}[schedule[2]] * int(schedule[1])
        assert cfg.train_cfg.max_epochs == epochs
    losses = expand_distiller(cfg.model.distiller)['distill_losses']
    assert any(method in loss for loss in losses)


@pytest.mark.parametrize(
    'name', [name for name in PUBLISHED if name.endswith('_coco.py') and name in TRIED]
)
def test_detector_learns_from_the_weights_of_the_model_zoo(name):
    """Those that the zoo names for the teacher's config."""
    teacher = load_config(str(CONFIGS / name)).model.teacher
    cfg, _ = model_config(teacher.cfg_path, pretrained=True)
    assert teacher.checkpoint == cfg.init_cfg.checkpoint
