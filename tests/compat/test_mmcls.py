"""``mmcls`` as a name of ``mmpretrain``: modules, renamed classes, registry scope, configs."""

import importlib
import sys

import mmengine
import mmpretrain
import pytest
import torch
from mmengine.config import Config
from mmengine.hub import get_config
from mmengine.registry import MODELS, TRANSFORMS, DefaultScope
from mmpretrain.datasets.transforms import PackInputs
from mmpretrain.models import ImageClassifier
from mmpretrain.structures import DataSample
from torch.nn import functional as F

from mmkd.compat import mmcls


def test_submodule_gives_the_objects_of_mmpretrain():
    losses = importlib.import_module('mmcls.models.losses.cross_entropy_loss')
    target = importlib.import_module('mmpretrain.models.losses.cross_entropy_loss')
    assert losses is not target
    assert losses.soft_cross_entropy is target.soft_cross_entropy
    assert importlib.import_module('mmcls').__name__ == 'mmcls'


def test_renamed_classes():
    from mmcls.datasets.transforms import PackClsInputs
    from mmcls.structures import ClsDataSample

    assert ClsDataSample is DataSample
    assert PackClsInputs is PackInputs


def test_what_mmpretrain_lacks_is_missing():
    with pytest.raises(AttributeError, match='NoSuchModel'):
        _ = importlib.import_module('mmcls.models').NoSuchModel
    with pytest.raises(ModuleNotFoundError, match=r'mmpretrain\.no_such_module'):
        importlib.import_module('mmcls.no_such_module')


def test_alias_has_no_file_of_its_own():
    alias = importlib.import_module('mmcls')
    assert alias.__spec__.name == 'mmcls'
    assert not hasattr(alias, '__file__')
    assert alias.list_models is mmpretrain.list_models


@pytest.mark.parametrize('key', ['mmcls.ImageClassifier', 'mmpretrain.ImageClassifier'])
def test_registry_finds_either_scope(key):
    assert MODELS.get(key) is ImageClassifier


def test_registry_knows_the_old_names():
    assert TRANSFORMS.get('mmcls.PackClsInputs') is PackInputs
    assert TRANSFORMS.get('mmcls.PackInputs') is PackInputs


def tiny(**scope):
    return {
        'type': 'ImageClassifier',
        'backbone': {'type': 'ResNet_CIFAR', 'depth': 18, 'base_channels': 8, 'stem_channels': 8},
        'neck': {'type': 'GlobalAveragePooling'},
        'head': {'type': 'LinearClsHead', 'num_classes': 3, 'in_channels': 64},
        **scope,
    }


def test_build_by_scope_and_by_default_scope():
    assert isinstance(MODELS.build(tiny(_scope_='mmcls')), ImageClassifier)
    with DefaultScope.overwrite_default_scope('mmcls'):
        assert isinstance(MODELS.build(tiny()), ImageClassifier)
        assert isinstance(MODELS.build(tiny(type='mmcls.ImageClassifier')), ImageClassifier)


def test_configs(tmp_path):
    child = tmp_path / 'child.py'
    child.write_text("_base_ = 'mmcls::resnet/resnet18_8xb16_cifar10.py'\n")
    config = Config.fromfile(child)
    assert config.model._scope_ == 'mmcls'  # MMEngine's mark on what it inherits from a package
    assert isinstance(MODELS.build(config.model), ImageClassifier)
    name = 'zskt/zskt_backbone_logits_resnet34_resnet18_8xb16_cifar10.py'
    razor = get_config(f'mmrazor::distill/mmcls/{name}')
    assert razor.model.type == 'DataFreeDistillation'
    assert razor.train_dataloader.dataset.type == 'CIFAR10'


def test_kd_soft_ce_loss_equals_soft_cross_entropy():
    from mmrazor.models.losses import KDSoftCELoss

    torch.manual_seed(0)
    student = torch.randn(5, 4, requires_grad=True)
    teacher = torch.randn(5, 4)
    loss = KDSoftCELoss(tau=2.0, loss_weight=3.0)(student, teacher)
    expected = 3 * 4 * F.cross_entropy(student / 2, (teacher / 2).softmax(dim=1))
    torch.testing.assert_close(loss, expected)


def test_an_installed_mmcls_is_left_alone(tmp_path, monkeypatch):
    importlib.import_module('mmcls')  # so that the alias is put back afterwards
    (tmp_path / 'mmcls').mkdir()
    (tmp_path / 'mmcls' / '__init__.py').write_text("__version__ = '1.0.0rc6'\n")
    for name in [name for name in sys.modules if name.partition('.')[0] == 'mmcls']:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.syspath_prepend(tmp_path)
    table = mmengine.config.utils.MODULE2PACKAGE
    monkeypatch.setitem(table, 'mmcls', 'mmcls')
    mmcls._alias_configs(mmengine.config.utils)
    mmcls._alias_scope(mmpretrain.registry)  # would find the scope taken
    assert table['mmcls'] == 'mmcls'
    assert importlib.import_module('mmcls').__version__ == '1.0.0rc6'
