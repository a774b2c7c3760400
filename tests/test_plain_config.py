"""The exported config and checkpoint, where mmkd cannot be imported; files that export spares."""

import json
import os
import subprocess
import sys

import pytest
import torch
from mmengine.config import Config
from mmengine.registry import DefaultScope

import mmkd
from mmkd.exporting import student_config
from mmkd.models.building import build_model
from mmkd.plain_config import without_mmkd
from mmkd.storage.checkpoint import CheckpointMismatchError

# A process without mmkd, whose mmcv has the operators that the detector needs.
PLAIN_PROCESS = """
import json, sys, types
from importlib.machinery import ModuleSpec

import torch
import torchvision


class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name.split('.')[0] == 'mmkd':
            raise ModuleNotFoundError(f'{name} is blocked', name=name)


sys.meta_path.insert(0, Blocker())
ext = types.ModuleType('mmcv._ext')
ext.__spec__ = ModuleSpec('mmcv._ext', loader=None)
ext.nms = lambda boxes, scores, iou_threshold, offset: torchvision.ops.nms(
    boxes, scores, iou_threshold
)


def operator(name):
    if name.startswith('__'):
        raise AttributeError(name)
    return lambda *args, **kwargs: 1 / 0


ext.__getattr__ = operator
sys.modules['mmcv._ext'] = ext

import numpy as np
from mmdet.apis import inference_detector, init_detector
from mmengine.runner import load_checkpoint

config, checkpoint = sys.argv[1:3]
model = init_detector(config, checkpoint, device='cpu')
load_checkpoint(model, checkpoint, strict=True)
image = np.random.default_rng(0).integers(0, 255, (96, 128, 3), dtype=np.uint8)
found = inference_detector(model, image).pred_instances
print('RESULT', json.dumps([found.bboxes.tolist(), found.scores.tolist(), sorted(
    name for name in sys.modules if name.startswith('mmkd'))]))
"""


def coco_run(repo):
    """Config of a distillation whose data, unlike its hooks and workers, are MMDetection's."""
    cfg = Config.fromfile(repo / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py')
    for which in ('train', 'val', 'test'):
        loader = cfg[f'{which}_dataloader']
        pipeline = loader.dataset.pipeline
        loader.dataset = dict(type='CocoDataset', ann_file='mmkd_data/ann.json', pipeline=pipeline)
        loader.worker_init_fn = dict(type='mmkd_epoch_worker_init')
    cfg.train_dataloader.sampler = dict(type='mmkd.CURSampler', num_instances=2)
    cfg.custom_imports = dict(imports=['mmkd.registry', 'json'], allow_failed_imports=True)
    cfg.custom_hooks = [dict(type='mmkd.FeatureSimilarityHook'), dict(type='NumClassCheckHook')]
    cfg.train_cfg.update(type='mmkd.UnlabeledTrainLoop', unlabeled_dataloader=dict(batch_size=2))
    cfg.optim_wrapper.paramwise_cfg = dict(
        custom_keys={'architecture.neck': dict(lr_mult=0.1), 'distiller.connectors': dict()}
    )
    cfg.model.architecture.setdefault('test_cfg', {})['score_thr'] = 0.0
    return cfg


def save_run(cfg, path):
    torch.manual_seed(0)
    plain = student_config(cfg)
    with DefaultScope.overwrite_default_scope(plain.default_scope):
        student = build_model(plain.model)
    state_dict = {f'architecture.{name}': value for name, value in student.state_dict().items()}
    meta = dict(epoch=1, dataset_meta=dict(classes=tuple('0123456789')), cfg='import mmkd')
    torch.save(dict(state_dict=state_dict, meta=meta, optimizer={}), path)
    return path


@pytest.fixture(scope='module')
def exported(repo, tmp_path_factory):
    folder = tmp_path_factory.mktemp('plain')
    cfg = coco_run(repo)
    return mmkd.export(save_run(cfg, folder / 'run.pth'), folder / 'student.pth', config=cfg)


def test_detector_gives_the_same_boxes_where_mmkd_cannot_be_imported(exported, tmp_path):
    from mmdet.apis import inference_detector, init_detector
    from numpy.random import default_rng

    config = exported.with_suffix('.py')
    script = tmp_path / 'plain_process.py'
    script.write_text(PLAIN_PROCESS)
    done = subprocess.run(
        [sys.executable, '-W', 'ignore', str(script), str(config), str(exported)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    boxes, scores, modules = json.loads(done.stdout.split('RESULT')[1])
    assert modules == []
    model = init_detector(str(config), str(exported), device='cpu')
    image = default_rng(0).integers(0, 255, (96, 128, 3), dtype='uint8')
    found = inference_detector(model, image).pred_instances
    assert len(boxes) > 0
    assert torch.allclose(found.bboxes, torch.tensor(boxes), atol=1e-4)
    assert torch.allclose(found.scores, torch.tensor(scores), atol=1e-6)


def test_parts_of_mmkd_become_those_of_mmengine(exported):
    cfg = Config.fromfile(exported.with_suffix('.py'))
    assert cfg.custom_imports == dict(imports=['json'], allow_failed_imports=True)
    assert cfg.train_dataloader.sampler == dict(type='DefaultSampler', shuffle=True)
    assert 'worker_init_fn' not in cfg.train_dataloader
    assert cfg.train_cfg.type == 'EpochBasedTrainLoop'
    assert 'unlabeled_dataloader' not in cfg.train_cfg
    assert cfg.custom_hooks == [dict(type='NumClassCheckHook')]
    assert cfg.default_hooks.checkpoint.type == 'CheckpointHook'
    assert not cfg.default_hooks.keys() & {'data_check', 'finite_loss', 'epoch_seed'}
    assert cfg.optim_wrapper.paramwise_cfg.custom_keys == {'neck': dict(lr_mult=0.1)}
    assert cfg.train_dataloader.dataset.ann_file == 'mmkd_data/ann.json'  # a path, not a part
    assert not [line for line in cfg.pretty_text.splitlines() if "'mmkd." in line]


@pytest.mark.parametrize(
    'name',
    [
        'pcka/pcka_retinanet_x101_r50_fpn_2x_coco.py',
        'baselines/pkd/pkd_gfl_r101_r50_fpn_2x_coco.py',
        'cckd/cckd_resnet50_mobilenet-v2-w0.5_in1k.py',
    ],
)
def test_configs_of_published_data_keep_nothing_of_mmkd(repo, name):
    cfg = Config.fromfile(repo / 'configs' / name)
    plain, needed = without_mmkd(student_config(cfg))
    assert needed == []
    assert "'mmkd" not in plain.pretty_text


def test_what_only_mmkd_has_keeps_the_import_and_is_named(repo, tmp_path):
    cfg = Config.fromfile(repo / 'configs/pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py')
    plain, needed = without_mmkd(student_config(cfg))
    assert plain.custom_imports.imports == ['mmkd.registry']
    assert 'train_dataloader.dataset: mmkd.DigitScenesDataset' in needed
    assert not [each for each in needed if 'hook' in each or 'safety' in each]


def test_other_texts_that_begin_with_mmkd_are_kept():
    cfg = Config(dict(model=dict(type='RetinaNet'), work_dir='mmkd.runs', load_from='mmkd_a.pth'))
    plain, needed = without_mmkd(cfg)
    assert needed == []
    assert (plain.work_dir, plain.load_from) == ('mmkd.runs', 'mmkd_a.pth')
    assert 'custom_imports' not in plain


@pytest.fixture
def run(tmp_path):
    state_dict = {'architecture.neck.w': torch.ones(2)}
    torch.save(dict(state_dict=state_dict), tmp_path / 'run.pth')
    return tmp_path / 'run.pth'


@pytest.mark.parametrize('link', ['same', 'relative', 'symbolic', 'hard'])
def test_the_source_is_never_replaced(run, link, monkeypatch):
    before, out = run.read_bytes(), run.with_name('out.pth')
    monkeypatch.chdir(run.parent)
    if link == 'same':
        out = run
    elif link == 'relative':
        out = os.path.join('.', run.name)
    elif link == 'symbolic':
        out.symlink_to(run)
    else:
        out.hardlink_to(run)
    with pytest.raises(ValueError, match=r'would replace the checkpoint .*choose another name'):
        mmkd.export(run, out, overwrite=True)
    assert run.read_bytes() == before


def test_the_users_config_is_never_replaced(run):
    config = run.with_name('student.py')
    config.write_text("model = dict(type='RetinaNet')\n")
    with pytest.raises(ValueError, match=r'student\.py would replace the config'):
        mmkd.export(run, run.with_name('student.pth'), config=config, overwrite=True)
    assert not run.with_name('student.pth').exists()
    assert config.read_text() == "model = dict(type='RetinaNet')\n"


@pytest.mark.parametrize('name', ['student.pth', 'student.py'])
def test_a_file_of_the_user_is_replaced_on_request_only(run, name, monkeypatch):
    monkeypatch.setattr('mmkd.exporting._check_fit', lambda *_: None)  # its student is no model
    config = run.with_name('run.py')
    config.write_text("model = dict(type='RetinaNet')\n")
    out, users = run.with_name('student.pth'), run.with_name(name)
    users.write_text('mine')
    with pytest.raises(FileExistsError, match=rf'{name} exists and is no earlier export; .*--over'):
        mmkd.export(run, out, config=config)
    assert users.read_text() == 'mine'
    mmkd.export(run, out, config=config, overwrite=True)
    assert users.read_bytes() != b'mine'
    mmkd.export(run, out, config=config)  # an earlier export is replaced


def test_a_config_of_another_model_is_refused_and_nothing_is_written(run):
    lenet = dict(type='mmpretrain.LeNet5', num_classes=2)
    other = dict(type='mmpretrain.ImageClassifier', backbone=lenet)
    out = run.with_name('student.pth')
    with pytest.raises(CheckpointMismatchError, match='does not match ImageClassifier'):
        mmkd.export(run, out, config=Config(dict(default_scope='mmpretrain', model=other)))
    assert not out.exists()
    assert not out.with_suffix('.py').exists()


@pytest.mark.parametrize('folder', ['student.pth', 'student.py'])
def test_folders_are_not_written_to(run, folder):
    run.with_name(folder).mkdir()
    config = Config(dict(model=dict(type='RetinaNet')))
    with pytest.raises(FileExistsError, match='expected a file, got the folder'):
        mmkd.export(run, run.with_name('student.pth'), config=config)


def test_a_checkpoint_is_not_written_as_a_config(run):
    with pytest.raises(ValueError, match='out: expected the file of a checkpoint'):
        mmkd.export(run, run.with_name('student.py'))


@pytest.mark.parametrize(
    ('content', 'message'),
    [
        (dict(state_dict={'backbone.w': torch.ones(1)}), 'checkpoint of a plain model'),
        ({'backbone.w': torch.ones(1)}, 'checkpoint of a plain model'),
        (
            dict(state_dict={'backbone.w': torch.ones(1)}, meta=dict(exported_by='mmkd 1')),
            'an export: it is plain already',
        ),
        (dict(optimizer={}, meta={}), r"no tensors but \['meta', 'optimizer'\]"),
        (dict(state_dict={}), r"no tensors but \['state_dict'\]"),
    ],
)
def test_other_checkpoints_are_named_for_what_they_are(tmp_path, content, message):
    torch.save(content, tmp_path / 'other.pth')
    with pytest.raises(ValueError, match=message):
        mmkd.export(tmp_path / 'other.pth', tmp_path / 'student.pth')
    assert not (tmp_path / 'student.pth').exists()


def test_state_dict_alone_is_exported(tmp_path):
    torch.save({'architecture.neck.w': torch.ones(2)}, tmp_path / 'weights.pth')
    out = mmkd.export(tmp_path / 'weights.pth', tmp_path / 'student.pth')
    assert list(torch.load(out, weights_only=True)['state_dict']) == ['neck.w']
