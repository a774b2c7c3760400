"""The short spelling of distillers, against MMRazor's written out by hand."""

import copy

import pytest
import torch
from helpers import distiller_config, toy_detector
from mmengine.config import Config
from mmrazor.models import losses as mmrazor_losses

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.algorithms.short_config import expand_distiller
from mmkd.teachers import FrozenTeacher

MIMIC = {'type': 'mmkd.MimicLoss', 'on': 'neck'}
BOTH = {
    'student': {'from_student': True, 'recorder': 'neck'},
    'teacher': {'from_student': False, 'recorder': 'neck'},
}
NECK = {'neck': {'type': 'ModuleOutputs', 'source': 'neck'}}


def expand(**losses):
    return expand_distiller({'losses': losses})


def test_one_loss_on_one_module():
    assert expand(mimic={**MIMIC, 'loss_weight': 2.0}) == {
        'type': 'ConfigurableDistiller',
        'student_recorders': NECK,
        'teacher_recorders': NECK,
        'connectors': {},
        'distill_losses': {'loss_mimic': {'type': 'mmkd.MimicLoss', 'loss_weight': 2.0}},
        'loss_forward_mappings': {'loss_mimic': BOTH},
    }


def test_losses_on_one_module_share_its_recorder():
    full = expand(one=MIMIC, two={**MIMIC, 'levels': (0,)})
    assert full['student_recorders'] == full['teacher_recorders'] == NECK
    assert full['loss_forward_mappings'] == {'loss_one': BOTH, 'loss_two': BOTH}
    assert full['distill_losses']['loss_two']['levels'] == (0,)


def test_two_modules():
    full = expand(mimic={**MIMIC, 'on': {'student': 'neck', 'teacher': 'backbone'}})
    assert full['student_recorders'] == NECK
    assert full['teacher_recorders'] == {
        'backbone': {'type': 'ModuleOutputs', 'source': 'backbone'}
    }
    assert full['loss_forward_mappings']['loss_mimic']['teacher']['recorder'] == 'backbone'


def test_indices_and_other_recorders_of_one_module():
    levels = {'type': 'mmkd.LevelOutputs', 'source': 'neck'}
    full = expand(
        first={**MIMIC, 'on': {'source': 'neck', 'data_idx': 0}},
        second={**MIMIC, 'on': {'source': 'neck', 'data_idx': 1, 'record_idx': 2}},
        levels={**MIMIC, 'on': levels},
    )
    assert full['student_recorders'] == {**NECK, 'neck:LevelOutputs': levels}
    records = [mapping['student'] for mapping in full['loss_forward_mappings'].values()]
    assert records == [
        {'from_student': True, 'recorder': 'neck', 'data_idx': 0},
        {'from_student': True, 'recorder': 'neck', 'data_idx': 1, 'record_idx': 2},
        {'from_student': True, 'recorder': 'neck:LevelOutputs'},
    ]


def test_a_declared_recorder_is_read_by_name():
    pool = {'type': 'mmkd.InstanceFeatures', 'source': 'neck', 'num_views': 2}
    full = expand_distiller(
        {
            'recorders': {'instances': pool},
            'teacher_recorders': {'own': {'type': 'ModuleOutputs', 'source': 'backbone'}},
            'losses': {
                'all': {**MIMIC, 'on': 'instances'},
                'first': {**MIMIC, 'on': {'recorder': 'instances', 'data_idx': 0}},
                'mixed': {**MIMIC, 'on': {'student': 'instances', 'teacher': 'own'}},
            },
        }
    )
    assert full['student_recorders'] == {'instances': pool}
    assert [*full['teacher_recorders']] == ['instances', 'own']
    assert full['loss_forward_mappings']['loss_first']['teacher'] == {
        'from_student': False,
        'recorder': 'instances',
        'data_idx': 0,
    }


def test_connectors_of_each_side():
    conv = {'type': 'mmkd.LevelwiseConv'}
    full = expand_distiller(
        {
            'connectors': {'shared': conv},
            'losses': {
                'own': {**MIMIC, 'student_connector': conv, 'teacher_connector': (conv, conv)},
                'named': {**MIMIC, 'student_connector': 'shared'},
            },
        }
    )
    assert full['connectors'] == {
        'shared': conv,
        'own_student': conv,
        'own_teacher': [conv, conv],
    }
    own, named = full['loss_forward_mappings'].values()
    assert own['student']['connector'] == 'own_student'
    assert own['teacher']['connector'] == 'own_teacher'
    assert named['student']['connector'] == 'shared'
    assert 'connector' not in named['teacher']


def test_further_inputs_come_from_the_student_unless_told():
    labels = {'type': 'ModuleInputs', 'source': 'head.loss_module', 'data_idx': 1}
    full = expand(
        dkd={'type': 'DKDLoss', 'on': 'head.fc', 'inputs': {'gt_labels': labels}, 'tau': 4.0},
        fkd={
            'type': 'mmkd.FKDLoss',
            'on': 'neck',
            'inputs': {'regularized': {'source': 'neck', 'from_student': False}},
        },
    )
    assert full['loss_forward_mappings']['loss_dkd'] == {
        'preds_S': {'from_student': True, 'recorder': 'head.fc'},
        'preds_T': {'from_student': False, 'recorder': 'head.fc'},
        'gt_labels': {'from_student': True, 'recorder': 'head.loss_module', 'data_idx': 1},
    }
    regularized = full['loss_forward_mappings']['loss_fkd']['regularized']
    assert regularized == {'from_student': False, 'recorder': 'neck'}
    assert full['distill_losses']['loss_dkd'] == {'type': 'DKDLoss', 'tau': 4.0}


# Each of MMRazor's losses between two sides, by the names of its first two arguments.
FIRST_TWO = {
    'ABLoss': ('s_feature', 't_feature'),
    'ATLoss': ('s_feature', 't_feature'),
    'AngleWiseRKD': ('preds_S', 'preds_T'),
    'CRDLoss': ('s_feats', 't_feats'),
    'ChannelWiseDivergence': ('preds_S', 'preds_T'),
    'CrossEntropyLoss': ('preds_S', 'preds_T'),
    'DISTLoss': ('logits_S', 'logits_T'),
    'DKDLoss': ('preds_S', 'preds_T'),
    'DistanceWiseRKD': ('preds_S', 'preds_T'),
    'FBKDLoss': ('s_input', 't_input'),
    'FTLoss': ('s_feature', 't_feature'),
    'KDSoftCELoss': ('preds_S', 'preds_T'),
    'KLDivergence': ('preds_S', 'preds_T'),
    'L1Loss': ('s_feature', 't_feature'),
    'L2Loss': ('s_feature', 't_feature'),
    'MGDLoss': ('preds_S', 'preds_T'),
    'OFDLoss': ('s_feature', 't_feature'),
    'PKDLoss': ('preds_S', 'preds_T'),
    'WSLD': ('student', 'teacher'),
}
# Losses of the teacher's outputs alone.
ONE_SIDED = ('ActivationLoss', 'InformationEntropyLoss', 'OnehotLikeLoss')


def test_the_table_has_every_loss_of_mmrazor():
    known = {
        name for name in mmrazor_losses.__all__ if isinstance(getattr(mmrazor_losses, name), type)
    }
    assert known - set(ONE_SIDED) == set(FIRST_TWO)


@pytest.mark.parametrize('loss', FIRST_TWO)
def test_sides_of_mmrazors_losses(loss):
    mapping = expand(kd={'type': loss, 'on': 'neck'})['loss_forward_mappings']['loss_kd']
    assert tuple(mapping) == FIRST_TWO[loss]
    assert [record['from_student'] for record in mapping.values()] == [True, False]


@pytest.mark.parametrize('loss', ONE_SIDED)
def test_losses_of_one_side_are_spelled_out(loss):
    with pytest.raises(ValueError, match=r'expected a loss of a student and a teacher side, got'):
        expand(kd={'type': loss, 'on': 'neck'})


def test_full_spelling_is_left_alone():
    full = distiller_config()
    assert expand_distiller(full) == full
    assert expand_distiller(full) is not full


def test_both_spellings_in_one():
    full = expand_distiller({**distiller_config(), 'losses': {'mimic': MIMIC}})
    assert [*full['student_recorders']] == ['feature']  # an equal one serves both
    assert [*full['distill_losses']] == ['loss_feature', 'loss_mimic']
    assert full['loss_forward_mappings']['loss_mimic']['student']['recorder'] == 'feature'


def test_the_config_itself_is_not_changed():
    config = Config({'distiller': {'losses': {'mimic': MIMIC}}}).distiller
    before = copy.deepcopy(config.to_dict())
    expand_distiller(config)
    assert config.to_dict() == before


def test_both_spellings_train_alike():
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    results = []
    for distiller in ({'losses': {'feature': MIMIC}}, distiller_config()):
        algorithm = FrozenTeacherDistill(toy_detector(0), FrozenTeacher(toy_detector(1)), distiller)
        losses = algorithm(images, mode='loss')
        losses['distill.loss_feature'].backward()
        results.append((losses, algorithm.student.neck.weight.grad))
    torch.testing.assert_close(*results, rtol=0, atol=0)


@pytest.mark.parametrize(
    ('entry', 'message'),
    [
        ({'on': 'neck'}, r"distiller\.losses\.kd: expected `type`, got only \['on'\]"),
        ({'type': 'PKDLoss'}, r"losses\.kd: expected `on`, got only \['type'\]"),
        ({'type': 'PKDLos', 'on': 'neck'}, r"got 'PKDLos'; did you mean PKDLoss"),
        (
            {'type': 'mmkd.PKCALoss', 'on': 'neck'},
            r"got 'mmkd\.PKCALoss'; did you mean mmkd\.PCKAL",
        ),
        (
            {**MIMIC, 'on': {'student': 'neck'}},
            r'on: expected both student and teacher, got \[.stu',
        ),
        ({**MIMIC, 'on': 3}, 'on: expected the name of a module or recorder, or a dict, got 3'),
        (
            {**MIMIC, 'on': {'recorder': 'nek'}},
            r"on: expected one of the recorders \[\], got 'nek'",
        ),
        (
            {**MIMIC, 'student_connector': 'conv'},
            r"losses\.kd: expected one of the connectors \[\], got 'conv'",
        ),
    ],
)
def test_errors_name_the_entry(entry, message):
    with pytest.raises(ValueError, match=message):
        expand(kd=entry)


def test_a_name_is_taken_once():
    with pytest.raises(
        ValueError, match='expected a name of its own, loss_feature is in distill_l'
    ):
        expand_distiller({**distiller_config(), 'losses': {'feature': MIMIC}})
