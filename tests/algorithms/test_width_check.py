"""Widths that a loss cannot compare stop the build; all others pass, known or not."""

import pytest
import torch
from helpers import toy_detector
from mmengine.registry import DefaultScope
from mmrazor.models.distillers import ConfigurableDistiller
from torch import nn

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.algorithms.width_check import check_widths
from mmkd.teachers import FrozenTeacher


class Classifier(nn.Module):
    """Pooled features, whose width no layer states, and a head of a linear layer."""

    def __init__(self, classes, channels=8):
        super().__init__()
        self.backbone = nn.Conv2d(3, channels, 1)
        self.neck = nn.AdaptiveAvgPool2d(1)
        self.head = nn.ModuleDict({'fc': nn.Linear(channels, classes), 'loss': nn.Identity()})


RECORDERS = {
    'map': {'type': 'ModuleOutputs', 'source': 'backbone'},
    'feature': {'type': 'ModuleOutputs', 'source': 'neck'},
    'logits': {'type': 'ModuleOutputs', 'source': 'head.fc'},
    'fc_input': {'type': 'ModuleInputs', 'source': 'head.fc'},
    'labels': {'type': 'ModuleInputs', 'source': 'head.loss'},
}


def record(recorder, from_student, **extra):
    return {'recorder': recorder, 'from_student': from_student, **extra}


def distiller(loss, names=('student', 'teacher'), *, student=None, teacher=None, **extra):
    """One that gives a loss, under the names of its arguments, the logits of both models."""
    mapping = {
        names[0]: record(**{'recorder': 'logits', 'from_student': True, **(student or {})}),
        names[1]: record(**{'recorder': 'logits', 'from_student': False, **(teacher or {})}),
    }
    more = extra.pop('more', {})
    config = {
        'student_recorders': RECORDERS,
        'teacher_recorders': RECORDERS,
        'distill_losses': {'loss_kd': loss},
        'loss_forward_mappings': {'loss_kd': {**mapping, **more}},
        **extra,
    }
    with DefaultScope.overwrite_default_scope('mmrazor'):
        return ConfigurableDistiller(**config)


def complaint(built, student, teacher):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each test reads the message
        check_widths(built, student, teacher)
    return str(error.value)


PREDS = ('preds_S', 'preds_T')
FEATURES = ('s_feature', 't_feature')
LOSSES_OF_EQUAL_WIDTHS = [
    ('ABLoss', FEATURES),
    ('ChannelWiseDivergence', PREDS),
    ('CrossEntropyLoss', PREDS),
    ('DISTLoss', ('logits_S', 'logits_T')),
    ('FTLoss', FEATURES),
    ('KDSoftCELoss', PREDS),
    ('KLDivergence', PREDS),
    ('L1Loss', FEATURES),
    ('L2Loss', FEATURES),
    ('MGDLoss', PREDS),
    ('OFDLoss', FEATURES),
    ('PKDLoss', PREDS),
    ('WSLD', ('student', 'teacher')),
    ('mmkd.CMKDLoss', ('student', 'teacher')),
    ('mmkd.DLKDAlignLoss', ('student', 'teacher')),
    ('mmkd.LCKALoss', ('student', 'teacher')),
    ('mmkd.MimicLoss', ('student', 'teacher')),
    ('mmkd.PCKALoss', ('student', 'teacher')),
]
MAPS = ('ChannelWiseDivergence', 'MGDLoss', 'PKDLoss', 'mmkd.MimicLoss', 'mmkd.PCKALoss')
LOSSES_OF_ANY_WIDTHS = [
    {'type': 'mmkd.CCKDLoss'},
    {'type': 'mmkd.DLKDCorrLoss'},
    {'type': 'mmkd.FCKALoss'},
    {'type': 'mmkd.FKDLoss'},
    {'type': 'mmkd.LCKALoss', 'inter_weight': 0.0},
]


@pytest.mark.parametrize(('loss', 'names'), LOSSES_OF_EQUAL_WIDTHS)
def test_different_classes(loss, names):
    built = distiller({'type': loss}, names)
    assert complaint(built, Classifier(10), Classifier(100)) == (
        'loss_kd: expected logits of the same classes, or features of the same width, got 10 of '
        "the student's head.fc and 100 of the teacher's head.fc; add a connector, or compare "
        'samples, as mmkd.FKDLoss and mmkd.LCKALoss(inter_weight=0) do'
    )
    assert '100 of the student' in complaint(built, Classifier(100), Classifier(10))
    check_widths(built, Classifier(10, channels=4), Classifier(10))


@pytest.mark.parametrize('loss', LOSSES_OF_ANY_WIDTHS, ids=lambda loss: loss['type'])
def test_losses_between_samples_take_any_widths(loss):
    built = distiller(loss)
    check_widths(built, Classifier(10), Classifier(100))
    student, teacher = torch.randn(8, 10), torch.randn(8, 100)
    assert built.distill_losses['loss_kd'](student, teacher).isfinite()


@pytest.mark.filterwarnings('ignore:Using a target size')  # PyTorch's own before its error
@pytest.mark.parametrize(('loss', 'names'), LOSSES_OF_EQUAL_WIDTHS)
def test_the_losses_themselves_cannot_compare_them(loss, names):
    built = distiller({'type': loss}, names).distill_losses['loss_kd']
    shapes = [(4, 10, 2, 2), (4, 100, 2, 2)] if loss in MAPS else [(4, 10), (4, 100)]
    inputs = [torch.randn(shape, generator=torch.Generator().manual_seed(0)) for shape in shapes]
    labels = [torch.zeros(4, dtype=torch.long)] if loss == 'WSLD' else []
    with pytest.raises((AssertionError, IndexError, RuntimeError, ValueError)):
        built(*inputs, *labels)


@pytest.mark.parametrize(
    ('loss', 'names', 'labels'),
    [('DKDLoss', PREDS, 'gt_labels'), ('mmkd.DLKDSupLoss', ('student', 'teacher'), 'gt_labels')],
)
def test_labels_are_no_second_output_of_the_student(loss, names, labels):
    more = {labels: record('labels', True, data_idx=1)}
    built = distiller({'type': loss}, names, more=more)
    assert '10 of' in complaint(built, Classifier(10), Classifier(100))
    check_widths(built, Classifier(10), Classifier(10))


def test_convolutions():
    built = distiller({'type': 'L2Loss'}, FEATURES, student=MAP, teacher=MAP)
    message = complaint(built, Classifier(10, channels=8), Classifier(10, channels=16))
    assert "got 8 of the student's backbone and 16 of the teacher's backbone;" in message
    check_widths(built, Classifier(10, channels=8), Classifier(100, channels=8))


def dense_head(kind, classes):
    """A model whose head says something of each level: by one layer, or by one of a list."""
    layer, other = nn.Conv2d(4, classes, 1), nn.Conv2d(4, classes, 1)
    heads = {'one': layer, 'list': nn.ModuleList([layer, other]), 'none': nn.ModuleList()}
    heads['unknown'] = nn.ModuleList([nn.Identity()])
    return nn.ModuleDict({'head': heads[kind]})


DENSE = {'levels': {'type': 'mmkd.LevelOutputs', 'source': 'head'}}
CONFIDENT = {
    'type': 'mmkd.TopKLocationsLoss',
    'loss': {'type': 'mmkd.CMKDLoss'},
    'num_classes': 2,
}


def of_levels(loss=None):
    recorders = {'student_recorders': DENSE, 'teacher_recorders': DENSE}
    return distiller(loss or CONFIDENT, student=LEVELS, teacher=LEVELS, **recorders)


@pytest.mark.parametrize('student', ['one', 'list'])
@pytest.mark.parametrize('teacher', ['one', 'list'])
def test_outputs_of_all_levels(student, teacher):
    message = complaint(of_levels(), dense_head(student, 2), dense_head(teacher, 80))
    assert "got 2 of the student's head and 80 of the teacher's head;" in message
    check_widths(of_levels(), dense_head(student, 6), dense_head(teacher, 6))


@pytest.mark.parametrize('kind', ['none', 'unknown'])
def test_levels_of_which_no_layer_states_the_width_are_left_to_the_loss(kind):
    check_widths(of_levels(), dense_head('one', 2), dense_head(kind, 80))
    check_widths(of_levels(), dense_head(kind, 2), dense_head('list', 80))


MAP = {'recorder': 'map'}
LEVELS = {'recorder': 'levels'}
EMBED = {'type': 'mmkd.LinearEmbed', 'in_channels': 8, 'out_channels': 32}
CONNECTORS = [
    EMBED,
    {'type': 'mmkd.ProjectionMLP', 'in_channels': 8, 'out_channels': 32},
    {'type': 'mmkd.LevelwiseConv', 'in_channels': 8, 'out_channels': 32, 'num_levels': 2},
    [
        {'type': 'mmkd.ProjectionMLP', 'in_channels': 8, 'out_channels': 4},
        {**EMBED, 'in_channels': 4},
    ],
]


@pytest.mark.parametrize('connector', CONNECTORS)
@pytest.mark.parametrize('recorder', ['feature', 'fc_input', 'logits', 'map'])
def test_connectors(connector, recorder):
    built = distiller(
        {'type': 'mmkd.MimicLoss'},
        student={'recorder': recorder, 'connector': 'project', 'data_idx': 0},
        connectors={'project': connector},
    )
    source = RECORDERS[recorder]['source']
    expected = f"got 32 of the student's {source} through the connector project and 100 of the t"
    assert expected in complaint(built, Classifier(32), Classifier(100))
    check_widths(built, Classifier(10), Classifier(32))


def test_connectors_on_both_sides():
    connectors = {'s': EMBED, 't': {**EMBED, 'out_channels': 64}, 'same': EMBED}
    sides = {'student': {'connector': 's'}, 'teacher': {'connector': 't'}}
    built = distiller({'type': 'mmkd.DLKDAlignLoss'}, **sides, connectors=connectors)
    message = complaint(built, Classifier(8), Classifier(8))
    assert '32 of the student' in message
    assert '64 of the teacher' in message
    sides['teacher'] = {'connector': 'same'}
    built = distiller({'type': 'mmkd.DLKDAlignLoss'}, **sides, connectors=connectors)
    check_widths(built, Classifier(10), Classifier(100))


@pytest.mark.parametrize('recorder', ['feature', 'fc_input', 'labels'])
def test_what_no_layer_states_is_left_to_the_loss(recorder):
    for sides in (
        {'student': {'recorder': recorder}},
        {'teacher': {'recorder': recorder}},
        {'student': {'recorder': recorder}, 'teacher': {'recorder': recorder}},
    ):
        check_widths(
            distiller({'type': 'mmkd.MimicLoss'}, **sides), Classifier(10), Classifier(100, 16)
        )


def test_a_connector_that_states_no_width_is_left_to_the_loss():
    connector = {
        'type': 'TorchNNConnector',
        'module_name': 'ReLU',
        'module_args': {'inplace': False},
    }
    built = distiller(
        {'type': 'mmkd.MimicLoss'},
        student={'connector': 'relu'},
        connectors={'relu': connector},
    )
    check_widths(built, Classifier(10), Classifier(100))


def test_every_loss_is_checked():
    good = {'student': record('logits', True), 'teacher': record('feature', False)}
    bad = {'student': record('logits', True), 'teacher': record('logits', False)}
    built = distiller(
        {'type': 'mmkd.MimicLoss'},
        distill_losses={
            'loss_relational': {'type': 'mmkd.FKDLoss'},
            'loss_good': {'type': 'mmkd.CMKDLoss'},
            'loss_bad': {'type': 'mmkd.CMKDLoss'},
            'loss_unused': {'type': 'mmkd.CMKDLoss'},
        },
        loss_forward_mappings={'loss_relational': bad, 'loss_good': good, 'loss_bad': bad},
    )
    assert complaint(built, Classifier(10), Classifier(100)).startswith('loss_bad: ')


def test_a_distiller_without_losses():
    check_widths(ConfigurableDistiller(), Classifier(10), Classifier(100))


def toy_distiller(recorder='ModuleOutputs'):
    outputs = {'map': {'type': 'ModuleOutputs', 'source': 'backbone.0'}}
    return {
        'type': 'ConfigurableDistiller',
        'student_recorders': outputs,
        'teacher_recorders': {'map': {**outputs['map'], 'type': recorder}},
        'distill_losses': {'loss_map': {'type': 'KLDivergence'}},
        'loss_forward_mappings': {
            'loss_map': {'preds_S': record('map', True), 'preds_T': record('map', False)}
        },
    }


def test_an_algorithm_is_not_built():
    student, teacher = toy_detector(width=4), FrozenTeacher(toy_detector(width=6))
    with pytest.raises(ValueError, match=r"loss_map: .* 4 of the student's backbone\.0 and 6 of"):
        FrozenTeacherDistill(student, teacher, toy_distiller())


def test_an_ensemble_is_left_to_the_loss():
    members = {name: FrozenTeacher(toy_detector(width=6)) for name in ('first', 'second')}
    FrozenTeacherDistill(
        toy_detector(width=4), {'members': members}, toy_distiller('mmkd.EnsembleOutputs')
    )
