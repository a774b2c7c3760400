"""Models from configs of the OpenMMLab packages, from files and from dicts."""

import copy

import pytest
from helpers import CLASSIFIER, RETINANET, toy_detector
from mmdet.models import RetinaNet
from mmengine.model import BaseModel
from mmengine.registry import MODELS as ROOT
from mmengine.registry import DefaultScope
from torch import nn

from mmkd.models.building import build_model, model_config

PATH = 'mmdet::retinanet/retinanet_r50_fpn_1x_coco.py'


@ROOT.register_module(force=True)
class ModelWithoutScope(BaseModel):
    def __init__(self, width, data_preprocessor=None):
        super().__init__(data_preprocessor)
        self.linear = nn.Linear(width, width)

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return inputs


def test_overrides_are_merged_into_the_model():
    plain, scope = model_config(PATH)
    changed, _ = model_config(PATH, bbox_head={'num_classes': 2})
    assert scope == 'mmdet'
    assert plain.bbox_head.num_classes == 80
    assert changed.bbox_head.num_classes == 2
    changed.bbox_head.num_classes = 80
    assert changed == plain


def test_delete_replaces_a_part():
    neck = {'_delete_': True, 'type': 'mmdet.FPN', 'num_outs': 3}
    for _ in range(2):  # the caller's dict is left alone
        changed, _ = model_config(PATH, neck=neck)
        assert changed.neck == {'type': 'mmdet.FPN', 'num_outs': 3}


def test_preprocessor_beside_the_model_belongs_to_it():
    model, scope = model_config(CLASSIFIER['cfg_path'])
    assert scope == 'mmpretrain'
    assert model.data_preprocessor.num_classes == 10


def test_pretrained_initializes_the_whole_model_from_the_zoo():
    model, _ = model_config(PATH, pretrained=True)
    assert model.init_cfg.type == 'Pretrained'
    assert model.init_cfg.checkpoint.endswith('retinanet_r50_fpn_1x_coco_20200130-c2398f9e.pth')


def test_pretrained_needs_a_model_zoo(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text("model = dict(type='ModelWithoutScope', width=3)")
    with pytest.raises(ValueError, match=r'pretrained: the model zoo names no weights for .*own'):
        model_config(str(path), pretrained=True)


def test_file_without_a_model(tmp_path):
    path = tmp_path / 'schedule.py'
    path.write_text('max_epochs = 3')
    with pytest.raises(ValueError, match=r'cfg_path: expected a config with a `model`, got .*sche'):
        model_config(str(path))


def test_file_without_a_scope(tmp_path):
    path = tmp_path / 'own.py'
    path.write_text("model = dict(type='ModelWithoutScope', width=3)")
    assert model_config(str(path))[1] is None
    assert build_model({'cfg_path': str(path), 'width': 5}).linear.in_features == 5


def test_a_model_is_built_in_the_scope_of_its_package():
    config = copy.deepcopy(RETINANET)
    with DefaultScope.overwrite_default_scope('mmpretrain'):
        model = build_model(config)
        assert DefaultScope.get_current_instance().scope_name == 'mmpretrain'
    assert isinstance(model, RetinaNet)
    assert model.backbone.depth == 18
    assert config == RETINANET


def test_dict_with_a_type():
    config = {'type': 'ModelWithoutScope', 'width': 3}
    assert build_model(config).linear.in_features == 3
    assert config == {'type': 'ModelWithoutScope', 'width': 3}


def test_built_model_is_returned():
    model = toy_detector()
    assert build_model(model) is model


@pytest.mark.parametrize('other', [nn.Linear(1, 1), 'mmdet::x.py', {'type': 'mmdet.FocalLoss'}])
def test_what_is_no_model_is_named(other):
    name = 'FocalLoss' if isinstance(other, dict) else type(other).__name__
    with pytest.raises(TypeError, match=rf'model: expected a dict with `cfg_path`.*, got {name}'):
        build_model(other)
