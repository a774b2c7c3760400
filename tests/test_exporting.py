"""The student's config and weights, out of a distillation run's."""

import copy

import pytest
import torch
from helpers import RETINANET, distiller_config, toy_detector
from mmengine.config import Config

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.exporting import student_config, student_state_dict
from mmkd.models.building import model_config
from mmkd.teachers import FrozenTeacher


def run_config(architecture, **extra):
    model = {'type': 'mmkd.FrozenTeacherDistill', 'architecture': architecture, 'teacher': {}}
    model |= extra.pop('model', {})
    return Config({'model': model, 'train_cfg': {'max_epochs': 24}, **extra})


def test_student_of_a_config_file_takes_the_place_of_the_algorithm():
    cfg = run_config(RETINANET)
    before = copy.deepcopy(cfg.to_dict())
    plain = student_config(cfg)
    assert plain.model == model_config(**RETINANET)[0]
    assert plain.model.bbox_head.num_classes == 3
    assert plain.train_cfg.max_epochs == 24
    assert plain.default_scope == 'mmdet'
    plain.model.bbox_head.num_classes = 7
    assert cfg.to_dict() == before


def test_scope_of_the_run_stays():
    assert student_config(run_config(RETINANET, default_scope='mmkd')).default_scope == 'mmkd'


def test_student_with_a_type_and_no_scope():
    plain = student_config(run_config({'type': 'mmdet.RetinaNet'}))
    assert plain.model == {'type': 'mmdet.RetinaNet'}
    assert 'default_scope' not in plain


@pytest.mark.parametrize('student', [RETINANET, {'type': 'mmdet.RetinaNet'}])
@pytest.mark.parametrize('where', ['model', 'config'])
def test_preprocessor_of_the_run_replaces_the_students(student, where):
    own = {'data_preprocessor': {'type': 'mmdet.DetDataPreprocessor', 'mean': [1.0] * 3}}
    cfg = run_config(student, **(own if where == 'config' else {'model': own}))
    assert student_config(cfg).model.data_preprocessor == own['data_preprocessor']


def test_plain_config_is_returned_as_it_is():
    cfg = Config({'model': {'type': 'mmdet.RetinaNet'}})
    assert student_config(cfg) is cfg


@pytest.mark.parametrize('save_teacher', [False, True])
@pytest.mark.parametrize('prefix', ['', 'module.'])
def test_exported_weights_are_those_of_the_student(save_teacher, prefix):
    connectors = {'to_teacher': {'type': 'mmkd.LevelwiseConv', 'in_channels': 4}}
    connectors['to_teacher'] |= {'out_channels': 4, 'num_levels': 1}
    student, teacher = toy_detector(0), FrozenTeacher(toy_detector(1))
    distiller = distiller_config(connectors=connectors)
    algorithm = FrozenTeacherDistill(student, teacher, distiller, save_teacher=save_teacher)
    state = {prefix + name: value for name, value in algorithm.state_dict().items()}
    assert len(state) > len(student.state_dict())
    exported = student_state_dict(state)
    assert exported.keys() == student.state_dict().keys()
    assert all(torch.equal(exported[k], v) for k, v in student.state_dict().items())


def test_inner_architecture_keeps_its_name():
    assert student_state_dict({'architecture.neck.architecture.w': 1}) == {'neck.architecture.w': 1}


def test_plain_state_dict_is_returned_as_it_is():
    assert student_state_dict({'backbone.w': 1, 'teacher.w': 2}) == {
        'backbone.w': 1,
        'teacher.w': 2,
    }


def test_foreign_tensors_are_named():
    with pytest.raises(ValueError, match=r"expected names that start with .*got \['generator.w'\]"):
        student_state_dict({'architecture.w': 1, 'distiller.w': 2, 'generator.w': 3})
