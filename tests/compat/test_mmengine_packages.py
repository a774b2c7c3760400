"""Where MMEngine finds packages and their configs, without ``pkg_resources``."""

import os.path as osp
import sys

import mmdet
import mmengine.config.config
import mmengine.config.utils
import mmengine.hub.hub
import mmengine.utils
import pytest
from mmengine.config import Config
from mmengine.hub import get_config

import mmkd
from mmkd.compat.mmengine_packages import get_installed_path, is_installed


@pytest.fixture(autouse=True)
def _no_pkg_resources(monkeypatch):
    monkeypatch.setitem(sys.modules, 'pkg_resources', None)


@pytest.mark.parametrize(
    'module',
    [
        mmengine.utils,
        mmengine.utils.package_utils,
        mmengine.config.config,
        pytest.param(mmengine.hub.hub, id='mmengine.hub.hub'),
    ],
)
def test_every_module_that_asks_uses_the_import_system(module):
    assert module.get_installed_path is get_installed_path
    assert getattr(module, 'is_installed', is_installed) is is_installed


def test_installed_package():
    assert is_installed('mmdet')
    assert get_installed_path('mmdet') == osp.dirname(mmdet.__file__)


def test_package_on_the_path_only():
    assert get_installed_path('mmkd') == osp.dirname(mmkd.__file__)


@pytest.mark.parametrize(
    ('package', 'module'), [('mmsegmentation', 'mmseg'), ('mmaction2', 'mmaction')]
)
def test_distribution_whose_module_has_another_name(package, module, tmp_path, monkeypatch):
    (tmp_path / module).mkdir()
    (tmp_path / module / '__init__.py').write_text('')
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    assert is_installed(package)
    assert get_installed_path(package) == str(tmp_path / module)
    assert module not in sys.modules


def test_mmcv_lite_is_mmcv():
    assert get_installed_path('mmcv-lite') == get_installed_path('mmcv')


def test_missing_package():
    assert not is_installed('no_such_package')
    with pytest.raises(ModuleNotFoundError, match='no_such_package is not installed'):
        get_installed_path('no_such_package')


def test_namespace_package(tmp_path, monkeypatch):
    (tmp_path / 'only_a_folder').mkdir()
    monkeypatch.setattr(sys, 'path', [str(tmp_path), *sys.path])
    with pytest.raises(RuntimeError, match='only_a_folder is a namespace package'):
        get_installed_path('only_a_folder')


@pytest.mark.parametrize(
    ('package', 'checkpoint_hook'),
    [('mmdet', 'CheckpointHook'), ('mmkd', 'mmkd.AtomicCheckpointHook')],
)
def test_config_inherits_from_a_package(package, checkpoint_hook, tmp_path):
    child = tmp_path / 'child.py'
    child.write_text(f"_base_ = '{package}::_base_/default_runtime.py'\n")
    assert Config.fromfile(child).default_hooks.checkpoint.type == checkpoint_hook


def test_configs_that_are_in_their_place_need_no_metafile(monkeypatch, tmp_path):
    read = []
    load = mmengine.config.utils.load
    monkeypatch.setattr(mmengine.config.utils, 'load', lambda path: read.append(path) or load(path))
    child = tmp_path / 'child.py'
    child.write_text("_base_ = 'mmdet::gfl/gfl_r50_fpn_1x_coco.py'\n")
    assert Config.fromfile(child).model.type == 'GFL'
    assert read == []


def test_other_configs_are_looked_up_in_the_metafiles(tmp_path):
    (tmp_path / '.mim').mkdir()
    (tmp_path / '.mim/model-index.yml').write_text('Import: [metafile.yml]')
    (tmp_path / '.mim/metafile.yml').write_text('Models: [{Name: one, Config: configs/deep/one}]')
    (tmp_path / 'configs/deep').mkdir(parents=True)
    (tmp_path / 'configs/deep/one').write_text('')
    find = mmengine.config.config._get_external_cfg_path
    assert find(str(tmp_path), 'deep/one.py') == str(tmp_path / 'configs/deep/one')
    with pytest.raises(ValueError, match='got deep/two'):
        find(str(tmp_path), 'deep/two.py')


def test_own_configs_are_the_ones_of_the_repository():
    name = 'pcka/pcka_gfl_r18w48_r18w16_fpn_digits.py'
    own = get_config(f'mmkd::{name}')
    link = osp.join(osp.dirname(mmkd.__file__), '.mim', 'configs', name)
    assert own.model == Config.fromfile(link).model
    assert own.model.distiller.losses


def test_unknown_package_is_refused(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = 'no_such_package::_base_/default_runtime.py'\n")
    with pytest.raises(AssertionError, match='does not support to load no_such_package'):
        Config.fromfile(child)


def test_types_inherited_from_mmkd_have_no_scope_but_mmdets_keep_theirs(tmp_path):
    path = tmp_path / 'heir.py'
    path.write_text("_base_ = 'mmkd::digits/resnet8_digits.py'")
    cfg = Config.fromfile(path)
    assert cfg.model.type == 'ImageClassifier'
    assert cfg.model.get('_scope_') is None
    assert cfg.default_hooks.param_scheduler['_scope_'] == 'mmpretrain'
