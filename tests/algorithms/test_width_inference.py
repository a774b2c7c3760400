"""Widths that are left out are filled, and losses that cannot compare shapes stop the build."""

import pytest
import torch
from helpers import RETINANET, ToyDetector, toy_detector
from mmengine.model import BaseModel
from torch import nn

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.teachers import FrozenTeacher


class Classifier(BaseModel):
    """Maps, pooled features and logits; its loss module does not run without labels."""

    def __init__(self, classes=10, channels=8):
        super().__init__()
        self.backbone = nn.Conv2d(3, channels, 1)
        self.neck = nn.Sequential(nn.AdaptiveAvgPool2d(1), nn.Flatten())
        self.head = nn.ModuleDict({'fc': nn.Linear(channels, classes), 'loss': nn.Identity()})

    def extract_feat(self, inputs):
        return self.neck(self.backbone(inputs))

    def forward(self, inputs, data_samples=None, mode='tensor'):
        return self.head['fc'](self.extract_feat(inputs))


def build(student, teacher, **losses):
    """An algorithm whose distiller is written in the short spelling."""
    return FrozenTeacherDistill(student, FrozenTeacher(teacher), {'losses': losses})


def complaint(student, teacher, **losses):
    with pytest.raises(ValueError) as error:  # noqa: PT011 - each test reads the message
        build(student, teacher, **losses)
    return str(error.value)


LABELS = {'inputs': {'gt_labels': {'type': 'ModuleInputs', 'source': 'head.loss', 'data_idx': 1}}}
OF_LOGITS = [
    {'type': 'CrossEntropyLoss'},
    {'type': 'DISTLoss'},
    {'type': 'DKDLoss', **LABELS},
    {'type': 'KDSoftCELoss'},
    {'type': 'KLDivergence'},
    {'type': 'L1Loss'},
    {'type': 'L2Loss'},
    {'type': 'WSLD', 'inputs': {'gt_labels': LABELS['inputs']['gt_labels']}},
    {'type': 'mmkd.CMKDLoss'},
    {'type': 'mmkd.DLKDAlignLoss'},
    {'type': 'mmkd.DLKDSupLoss', **LABELS},
    {'type': 'mmkd.LCKALoss'},
]
OF_MAPS = ['ABLoss', 'ChannelWiseDivergence', 'FTLoss', 'MGDLoss', 'OFDLoss', 'PKDLoss']
OF_MAPS += ['mmkd.MimicLoss', 'mmkd.PCKALoss']
OF_ANY_WIDTHS = [
    {'type': 'mmkd.CCKDLoss'},
    {'type': 'mmkd.FCKALoss'},
    {'type': 'mmkd.FKDLoss'},
    {'type': 'mmkd.LCKALoss', 'inter_weight': 0.0},
]


@pytest.mark.parametrize('loss', OF_LOGITS, ids=lambda loss: loss['type'])
def test_logits_of_other_classes_stop_the_build(loss):
    loss = {**loss, 'on': 'head.fc'}
    assert complaint(Classifier(10), Classifier(100), kd=loss) == (
        "loss_kd: expected equal shapes, got (10,) of the student's head.fc and (100,) of the "
        "teacher's head.fc; logits need a teacher of the same classes; for features add "
        "student_connector=dict(type='mmkd.ProjectionMLP'), or compare samples, as mmkd.FKDLoss "
        'and mmkd.LCKALoss(inter_weight=0) do'
    )
    assert '(100,) of the student' in complaint(Classifier(100), Classifier(10), kd=loss)
    build(Classifier(10, channels=4), Classifier(10), kd=loss)


@pytest.mark.parametrize('loss', OF_MAPS)
def test_maps_of_other_widths_name_the_connector(loss):
    loss = {'type': loss, 'on': 'backbone'}
    message = complaint(Classifier(channels=8), Classifier(channels=16), hint=loss)
    assert message.startswith('loss_hint: expected equal shapes, got (8')
    assert "add student_connector=dict(type='mmkd.LevelwiseConv')" in message
    connected = {**loss, 'student_connector': {'type': 'mmkd.LevelwiseConv'}}
    algorithm = build(Classifier(channels=8), Classifier(channels=16), hint=connected)
    (conv,) = algorithm.distiller.connectors['hint_student'].convs
    assert (conv.in_channels, conv.out_channels) == (8, 16)


@pytest.mark.parametrize('loss', OF_ANY_WIDTHS, ids=lambda loss: loss['type'])
def test_losses_between_samples_take_any_widths(loss):
    algorithm = build(Classifier(10), Classifier(100), relation={**loss, 'on': 'head.fc'})
    student, teacher = torch.randn(8, 10), torch.randn(8, 100)
    assert algorithm.distiller.distill_losses['loss_relation'](student, teacher).isfinite()


def strided(stride, width=4):
    """A detector whose maps have this stride."""
    model = ToyDetector(width)
    model.neck = nn.Conv2d(width, 4, 1, stride=stride)
    return model


def test_other_strides_name_their_connector():
    message = complaint(strided(2), strided(4), mimic={'type': 'mmkd.MimicLoss', 'on': 'neck'})
    assert "(4, 32, 32) of the student's neck and (4, 16, 16) of the teacher's neck" in message
    assert 'mmkd.SelectLevels' in message
    build(strided(2), strided(4), pkd={'type': 'PKDLoss', 'on': 'neck'})  # resizes maps itself


EMBED = {'type': 'mmkd.LinearEmbed'}
MLP = {'type': 'mmkd.ProjectionMLP'}
# Connectors of both sides, and the input and output widths of their layers for widths 8 and 16.
CONNECTORS = {
    'embedding': ((EMBED, EMBED), [(8, 128)], [(16, 128)]),
    'to the teacher': ((MLP, None), [(8, 256), (256, 16)], []),
    'to itself': (({**MLP, 'out_channels': 'student', 'expansion': 1}, None), [(8, 8), (8, 8)], []),
    'to the student': ((None, {**MLP, 'expansion': 1}), [], [(16, 8), (8, 8)]),
    'a chain': (([{**MLP, 'out_channels': 4}, EMBED], EMBED), [(8, 64), (64, 4), (4, 128)], None),
    'to an embedding': ((MLP, {**EMBED, 'out_channels': 32}), [(8, 512), (512, 32)], [(16, 32)]),
    'as given': (({**EMBED, 'in_channels': 8}, EMBED), [(8, 128)], None),
}


@pytest.mark.parametrize('case', CONNECTORS)
def test_widths_are_those_of_the_features(case):
    connectors, *expected = CONNECTORS[case]
    loss = {'type': 'mmkd.FKDLoss', 'on': 'neck'}
    loss |= dict(zip(('student_connector', 'teacher_connector'), connectors, strict=True))
    algorithm = build(Classifier(channels=8), Classifier(channels=16), fkd=loss)
    for side, widths in zip(('student', 'teacher'), expected, strict=True):
        if widths is not None:
            name = f'fkd_{side}'
            layers = algorithm.distiller.connectors[name].modules() if widths else []
            linear = [layer for layer in layers if isinstance(layer, nn.Linear)]
            assert [(layer.in_features, layer.out_features) for layer in linear] == widths


# Of MMRazor: the arguments that are widths have other names there.
FOREIGN = {
    'ConvModuleConnector': ({}, 'conv_module.conv.weight', (16, 8, 1, 1)),
    'MGDConnector': ({'lambda_mgd': 0.65}, 'align.weight', (16, 8, 1, 1)),
    'CRDConnector': ({'dim_in': None, 'dim_out': 12}, 'linear.weight', (12, 8)),
}


@pytest.mark.parametrize('kind', FOREIGN)
def test_widths_of_mmrazors_connectors(kind):
    arguments, name, shape = FOREIGN[kind]
    on = 'neck' if kind == 'CRDConnector' else 'backbone'
    loss = {'type': 'mmkd.FCKALoss', 'on': on, 'student_connector': {'type': kind, **arguments}}
    algorithm = build(Classifier(channels=8), Classifier(channels=16), hint=loss)
    connector = algorithm.distiller.connectors['hint_student']
    assert {n: tuple(p.shape) for n, p in connector.named_parameters()}[name] == shape


def test_a_given_width_that_is_not_the_features_is_an_error():
    loss = {'type': 'mmkd.FKDLoss', 'on': 'neck'}
    loss['student_connector'] = {**EMBED, 'in_channels': 9}
    assert complaint(Classifier(channels=8), Classifier(), fkd=loss) == (
        "connectors.fkd_student.in_channels: expected the width of the student's features, 8, "
        'got 9; leave it out'
    )


def test_two_connectors_that_ask_each_other():
    loss = {'type': 'mmkd.FKDLoss', 'on': 'neck', 'student_connector': MLP}
    loss['teacher_connector'] = {**MLP, 'out_channels': 'student'}
    message = complaint(Classifier(), Classifier(), fkd=loss)
    assert 'out_channels: expected a number, as each side asks the other' in message


class Stubborn(Classifier):
    """Takes images of 224 x 224 alone, or none at all."""

    def __init__(self, *args, side=224):
        super().__init__(*args)
        self.side = side

    def forward(self, inputs, data_samples=None, mode='tensor'):
        if inputs.shape[-1] != self.side:
            raise RuntimeError(f'not {self.side} pixels')
        return super().forward(inputs)


def test_networks_of_one_image_size():
    loss = {'type': 'mmkd.FKDLoss', 'on': 'head.fc', 'student_connector': EMBED}
    algorithm = build(Stubborn(10), Classifier(100), fkd=loss)
    assert algorithm.distiller.connectors['fkd_student'].linear.in_features == 10


def test_a_network_that_does_not_run_on_zeros():
    never = Stubborn(10, side=-1)
    build(never, Classifier(100), kd={'type': 'mmkd.CMKDLoss', 'on': 'head.fc'})  # as the loss says
    loss = {'type': 'mmkd.FKDLoss', 'on': 'head.fc', 'student_connector': EMBED}
    message = complaint(never, Classifier(100), fkd=loss)
    assert message.startswith('connectors.fkd_student.in_channels: expected a width, as it cannot')
    assert 'RuntimeError: not -1 pixels' in message
    given = {**loss, 'student_connector': {**EMBED, 'in_channels': 10}}
    build(never, Classifier(100), fkd=given)


def test_strides_that_cannot_be_inferred():
    loss = {'type': 'mmkd.FKDLoss', 'on': {'type': 'mmkd.InstanceFeatures', 'source': 'head.fc'}}
    message = complaint(Stubborn(10, side=-1), Classifier(10), fkd=loss)
    assert message.startswith("InstanceFeatures('head.fc'): expected strides, as they cannot be in")


def test_building_changes_neither_random_numbers_nor_modes_nor_statistics():
    student = toy_detector(0, dropout=nn.Sequential(nn.Dropout(0.5), nn.BatchNorm2d(4)))
    student.backbone[2][1].eval()
    before = {name: value.clone() for name, value in student.state_dict().items()}
    modes = [module.training for module in student.modules()]
    teacher = toy_detector(1)
    torch.manual_seed(5)
    algorithm = build(student, teacher, mimic={'type': 'mmkd.MimicLoss', 'on': 'neck'})
    assert torch.rand(()) == torch.rand((), generator=torch.Generator().manual_seed(5))
    assert [module.training for module in student.modules()] == modes
    for name, value in student.state_dict().items():
        assert torch.equal(value, before[name])
    managers = algorithm.distiller.student_recorders, algorithm.distiller.teacher_recorders
    assert not any(r.data_buffer for m in managers for r in m.recorders.values())


def test_initial_weights_of_a_connector_are_those_that_it_alone_would_draw():
    from mmkd.connectors import LinearEmbed

    students, teachers = Classifier(channels=8), Classifier(channels=16)
    loss = {'type': 'mmkd.FKDLoss', 'on': 'neck', 'student_connector': EMBED}
    torch.manual_seed(3)
    algorithm = build(students, teachers, fkd=loss)
    torch.manual_seed(3)
    expected = LinearEmbed(8).linear.weight
    assert torch.equal(algorithm.distiller.connectors['fkd_student'].linear.weight, expected)


TOP_K = {'type': 'mmkd.TopKLocationsLoss', 'loss': {'type': 'mmkd.CMKDLoss'}}
CLASS_MAPS = {'type': 'mmkd.LevelOutputs', 'source': 'bbox_head.retina_cls'}


def test_pyramids_fill_levels_strides_and_classes():
    losses = {
        'mimic': {
            'type': 'mmkd.MimicLoss',
            'on': 'neck',
            'levels': (0, 1),
            'student_connector': {'type': 'mmkd.LevelwiseConv'},
        },
        'fkd': {'type': 'mmkd.FKDLoss', 'on': {'type': 'mmkd.InstanceFeatures', 'source': 'neck'}},
        'cmkd': {**TOP_K, 'on': CLASS_MAPS},
    }
    wide = {**RETINANET, 'neck': {**RETINANET['neck'], 'out_channels': 24}}
    wide['bbox_head'] = {**RETINANET['bbox_head'], 'in_channels': 24}
    algorithm = FrozenTeacherDistill(RETINANET, {**wide}, {'losses': losses})
    distiller = algorithm.distiller
    convs = distiller.connectors['mimic_student'].convs
    assert [(conv.in_channels, conv.out_channels) for conv in convs] == [(16, 24)] * 2
    for recorders in (distiller.student_recorders, distiller.teacher_recorders):
        pooled = next(r for r in recorders.recorders.values() if hasattr(r, 'strides'))
        assert pooled.strides == (8, 16, 32, 64, 128)
    assert distiller.distill_losses['loss_cmkd'].num_classes == 3


def test_classes_that_no_head_states():
    loss = {**TOP_K, 'on': {'type': 'mmkd.LevelOutputs', 'source': 'neck'}}
    message = complaint(toy_detector(0), toy_detector(1), cmkd=loss)
    assert message == 'loss_cmkd: expected num_classes, as no head of the student states its own'


def test_an_ensemble_is_left_to_the_loss():
    members = {name: FrozenTeacher(toy_detector(width=6)) for name in ('first', 'second')}
    on = {
        'student': 'backbone.0',
        'teacher': {'type': 'mmkd.EnsembleOutputs', 'source': 'backbone.0'},
    }
    losses = {'map': {'type': 'KLDivergence', 'on': on}}
    FrozenTeacherDistill(toy_detector(width=4), {'members': members}, {'losses': losses})


def test_every_loss_is_checked():
    good = {'type': 'mmkd.MimicLoss', 'on': 'neck'}
    bad = {'type': 'mmkd.CMKDLoss', 'on': 'head.fc'}
    message = complaint(Classifier(10), Classifier(100), good=good, bad=bad)
    assert message.startswith('loss_bad: ')
