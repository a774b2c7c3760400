"""MMRazor's parts under the current stack: stand-ins, recorders, deliveries, connectors, losses."""

import mmkd  # noqa: F401  # isort: skip  (makes MMRazor importable)
import importlib

import mmrazor.engine  # noqa: F401  (registers the loops)
import numpy as np
import pytest
import torch
from mmengine.registry import LOOPS, DefaultScope
from mmengine.registry import MODELS as ROOT_MODELS
from mmengine.structures import BaseDataElement
from mmrazor.models import losses
from mmrazor.models.architectures import connectors
from mmrazor.models.task_modules import DistillDeliveryManager, RecorderManager
from mmrazor.registry import MODELS
from torch import nn
from torch.nn import functional as F

from mmkd.compat.mmrazor import STAND_INS
from mmkd.compat.unavailable import UnavailableError


@pytest.fixture(autouse=True)
def _seed_and_scope():
    """Names without a scope are MMRazor's, whatever runs have come before."""
    torch.manual_seed(0)
    with DefaultScope.overwrite_default_scope('mmrazor'):
        yield


# --- Stand-ins for quantization -----------------------------------------------------------------

NAMES = [(module, name) for module, (_, names) in STAND_INS.items() for name in names]
REGISTERED = [
    (registry, name)
    for registry, names in STAND_INS.values()
    for name in names
    if registry and name[0].isupper()
]


@pytest.mark.parametrize(('module', 'name'), NAMES)
def test_stand_in_is_importable_and_unusable(module, name):
    with pytest.raises(UnavailableError, match=rf'{name}: .* needs PyTorch 1\.13'):
        getattr(importlib.import_module(module), name)()


@pytest.mark.parametrize(('registry', 'name'), REGISTERED)
def test_config_that_asks_for_a_stand_in_is_told_why(registry, name):
    with pytest.raises(UnavailableError, match=r'needs PyTorch 1\.13 and is not part of mmkd'):
        {'MODELS': ROOT_MODELS, 'LOOPS': LOOPS}[registry].build({'type': f'mmrazor.{name}'})


@pytest.mark.parametrize(
    ('module', 'names'),
    [
        ('mmrazor.models', {'ConfigurableDistiller', 'MMArchitectureQuant', 'BaseObserver'}),
        ('mmrazor.engine', {'SingleTeacherDistillValLoop', 'StopDistillHook', 'QATValLoop'}),
        ('mmrazor.structures', {'BackendConfigs', 'load_fix_subnet'}),
    ],
)
def test_star_imports_pass_through_the_stand_ins(module, names):
    assert names <= vars(importlib.import_module(module)).keys()


# --- Recorders and deliveries -------------------------------------------------------------------


def offset(x, by=1.0):
    return x + by


class Toy(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(2, 2)

    def scale(self, x, factor=2.0):
        return x * factor

    def forward(self, x):
        return offset(self.scale(self.linear(x), factor=3.0), by=0.5)


X = torch.tensor([[1.0, -1.0]])

# type: (source, what it records of `Toy()(X)`, where `y` is the output of the linear layer)
RECORDERS = {
    'FunctionOutputs': (f'{__name__}.offset', lambda toy, y: 3 * y + 0.5),
    'FunctionInputs': (f'{__name__}.offset', lambda toy, y: [3 * y, 0.5]),
    'MethodOutputs': (f'{__name__}.Toy.scale', lambda toy, y: 3 * y),
    'MethodInputs': (f'{__name__}.Toy.scale', lambda toy, y: [y, 3.0]),
    'ModuleOutputs': ('linear', lambda toy, y: y),
    'ModuleInputs': ('linear', lambda toy, y: (X,)),
    'Parameter': ('linear.weight', lambda toy, y: toy.linear.weight),
}


@pytest.mark.parametrize('kind', RECORDERS)
def test_recorder(kind):
    source, expected = RECORDERS[kind]
    toy = Toy()
    manager = RecorderManager({'it': {'type': kind, 'source': source}})
    manager.initialize(toy)
    before = offset, Toy.scale
    with manager:
        toy(X)
    recorder = manager.get_recorder('it')
    torch.testing.assert_close(recorder.get_record_data(), expected(toy, toy.linear(X)))
    assert (offset, Toy.scale) == before  # wrapped only while it records
    toy(2 * X)
    assert len(recorder.data_buffer) == 1
    with manager:  # a new recording replaces the last one
        toy(X)
    assert len(recorder.data_buffer) == 1


def test_record_and_data_index():
    toy = Toy()
    recorder = {'type': 'FunctionInputs', 'source': f'{__name__}.offset'}
    manager = RecorderManager({'it': recorder})
    manager.initialize(toy)
    with manager:
        toy(X)
        toy(2 * X)
    second = manager.get_recorder('it').get_record_data(record_idx=1, data_idx=0)
    torch.testing.assert_close(second, 3 * toy.linear(2 * X))


def test_recorder_of_what_the_model_lacks():
    manager = RecorderManager({'it': {'type': 'ModuleOutputs', 'source': 'convolution'}})
    with pytest.raises(AssertionError, match='"convolution" is not in the model'):
        manager.initialize(Toy())


@pytest.mark.parametrize(
    ('kind', 'path'),
    [
        ('FunctionOutputs', {'func_path': f'{__name__}.offset'}),
        ('MethodOutputs', {'method_path': f'{__name__}.Toy.scale'}),
    ],
)
def test_delivery_replaces_what_the_student_computes(kind, path):
    manager = DistillDeliveryManager({'it': {'type': kind, 'max_keep_data': 1, **path}})
    teacher, student = Toy(), Toy()
    before = offset, Toy.scale
    manager.override_data = False
    with manager:
        of_teacher = teacher(X)
    manager.override_data = True
    with manager:
        of_student = student(X)
    torch.testing.assert_close(of_student, of_teacher)
    assert (offset, Toy.scale) == before
    assert not torch.allclose(student(X), of_teacher)
    with pytest.raises(AssertionError, match='pop from an empty queue'), manager:
        student(X)


# --- Connectors ---------------------------------------------------------------------------------

MAP = (2, 4, 6, 6)
FBKD = [(2, 1, 6, 6), (2, 4, 1, 1)]

# type: (arguments, shape of the input, shapes of the outputs)
CONNECTORS = {
    'ConvModuleConnector': (
        {'in_channel': 4, 'out_channel': 6, 'norm_cfg': {'type': 'BN'}},
        MAP,
        [(2, 6, 6, 6)],
    ),
    'Translator': ({'in_channel': 4, 'out_channel': 6}, MAP, [(2, 6, 6, 6)]),
    'Paraphraser': ({'in_channel': 4, 'out_channel': 6, 'use_bn': True}, MAP, [MAP]),
    'BYOTConnector': (
        {'in_channel': 2, 'out_channel': 4, 'num_classes': 3, 'expansion': 2, 'stride': 2},
        (2, 4, 8, 8),
        [(2, 8), (2, 3)],
    ),
    'FBKDTeacherConnector': (
        {'in_channels': 4, 'sub_sample': True},
        MAP,
        [*FBKD, (2, 1, 6, 6), MAP, MAP],
    ),
    'FBKDStudentConnector': (
        {'in_channels': 4, 'sub_sample': True},
        MAP,
        [*FBKD, (2, 4), (2, 1, 6, 6), MAP, MAP],
    ),
    'TorchFunctionalConnector': (
        {'function_name': 'avg_pool2d', 'func_args': {'kernel_size': 2}},
        MAP,
        [(2, 4, 3, 3)],
    ),
    'TorchNNConnector': (
        {
            'module_name': 'Conv2d',
            'module_args': dict(in_channels=4, out_channels=5, kernel_size=3),
        },
        MAP,
        [(2, 5, 4, 4)],
    ),
    'CRDConnector': ({'dim_in': 144, 'dim_out': 3}, MAP, [(2, 3)]),
    'OFDTeacherConnector': ({}, MAP, [MAP]),
    'MGDConnector': ({'student_channels': 4, 'teacher_channels': 6}, MAP, [(2, 6, 6, 6)]),
    'NormConnector': ({'in_channels': 4, 'norm_cfg': {'type': 'BN'}}, MAP, [MAP]),
}


def build_connector(name, **changes):
    return MODELS.build({'type': name, **CONNECTORS[name][0], **changes})


def test_every_connector_is_tested():
    assert CONNECTORS.keys() == set(connectors.__all__)


@pytest.mark.parametrize('name', sorted(set(CONNECTORS) - {'OFDTeacherConnector'}))
def test_connector_shapes_and_gradient(name):
    _, shape, expected = CONNECTORS[name]
    connector = build_connector(name)
    feature = torch.randn(shape, requires_grad=True)
    output = connector(feature)
    outputs = output if isinstance(output, tuple) else (output,)
    assert [tuple(item.shape) for item in outputs] == expected
    sum(item.square().sum() for item in outputs).backward()
    assert feature.grad.isfinite().all()
    assert feature.grad.abs().sum() > 0
    assert all(p.grad is None or p.grad.isfinite().all() for p in connector.parameters())


def test_torch_connectors_call_what_they_name():
    feature = torch.randn(MAP)
    pooled = build_connector('TorchFunctionalConnector')(feature)
    torch.testing.assert_close(pooled, feature.unfold(2, 2, 2).unfold(3, 2, 2).mean((-1, -2)))
    assert isinstance(build_connector('TorchNNConnector').func, nn.Conv2d)


def test_crd_embedding_has_unit_length():
    embedding = build_connector('CRDConnector')(torch.randn(MAP))
    torch.testing.assert_close(embedding.norm(dim=1), torch.ones(2))


def test_paraphraser_in_training_gives_factors_without_gradient():
    factor = build_connector('Paraphraser', phase='train')(torch.randn(MAP, requires_grad=True))
    assert factor.shape == (2, 6, 6, 6)
    assert not factor.requires_grad


def test_ofd_connector_clips_at_its_margin():
    connector = build_connector('OFDTeacherConnector')
    feature = torch.randn(MAP, requires_grad=True)
    with pytest.raises(AssertionError, match='margin must be initialized'):
        connector(feature)
    margin = torch.tensor([-0.5, -0.1, 0.0, -2.0]).view(1, 4, 1, 1)
    connector.init_margin(margin)
    torch.testing.assert_close(connector(feature), torch.where(feature > margin, feature, margin))
    assert not connector(feature).requires_grad


# --- Losses -------------------------------------------------------------------------------------

LABELS = torch.tensor([0, 2, 4, 1])


def maps(student='s_feature', teacher='t_feature'):
    return {student: torch.randn(MAP), teacher: torch.randn(MAP)}


def logits(student='preds_S', teacher='preds_T', **others):
    return {student: torch.randn(4, 5), teacher: torch.randn(4, 5), **others}


def fbkd():
    student = build_connector('FBKDStudentConnector')(torch.randn(MAP))
    teacher = build_connector('FBKDTeacherConnector')(torch.randn(MAP))
    return {
        's_input': [item.detach() for item in student],
        't_input': [item.detach() for item in teacher],
    }


def crd():
    samples = [
        BaseDataElement(
            sample_idx=torch.tensor(index),
            contrast_sample_idxs=torch.tensor([index, 7, 8, 9]),
        )
        for index in range(4)
    ]
    return {**logits('s_feats', 't_feats'), 'data_samples': samples}


# type: (arguments, inputs, name of the input that must receive a gradient)
LOSSES = {
    'ABLoss': ({}, maps, 's_feature'),
    'ATLoss': ({}, maps, 's_feature'),
    'ActivationLoss': ({}, lambda: {'feat_T': torch.randn(MAP)}, 'feat_T'),
    'AngleWiseRKD': ({}, logits, 'preds_S'),
    'CRDLoss': ({'neg_num': 3, 'sample_n': 10, 'dim_out': 5}, crd, 's_feats'),
    'ChannelWiseDivergence': ({'tau': 2.0}, lambda: maps('preds_S', 'preds_T'), 'preds_S'),
    'CrossEntropyLoss': ({}, logits, 'preds_S'),
    'DISTLoss': ({}, lambda: logits('logits_S', 'logits_T'), 'logits_S'),
    'DKDLoss': ({'tau': 2.0}, lambda: logits(gt_labels=LABELS), 'preds_S'),
    'DistanceWiseRKD': ({}, logits, 'preds_S'),
    'FBKDLoss': ({}, fbkd, 's_input'),
    'FTLoss': ({}, maps, 's_feature'),
    'InformationEntropyLoss': ({}, lambda: {'preds_T': torch.randn(4, 5)}, 'preds_T'),
    'KDSoftCELoss': ({'tau': 2.0}, logits, 'preds_S'),
    'KLDivergence': ({'tau': 2.0}, logits, 'preds_S'),
    'L1Loss': ({}, maps, 's_feature'),
    'L2Loss': ({}, maps, 's_feature'),
    'MGDLoss': ({}, lambda: maps('preds_S', 'preds_T'), 'preds_S'),
    'OFDLoss': ({}, maps, 's_feature'),
    'OnehotLikeLoss': ({}, lambda: {'preds_T': torch.randn(4, 5)}, 'preds_T'),
    'PKDLoss': ({}, lambda: maps('preds_S', 'preds_T'), 'preds_S'),
    'WSLD': (
        {'num_classes': 5},
        lambda: logits('student', 'teacher', gt_labels=LABELS),
        'student',
    ),
}


def test_every_loss_is_tested():
    assert LOSSES.keys() == set(losses.__all__)


@pytest.mark.parametrize('name', sorted(LOSSES))
def test_loss_is_finite_and_reaches_the_student(name):
    arguments, make, learner = LOSSES[name]
    inputs = make()
    student = inputs[learner] if isinstance(inputs[learner], list) else [inputs[learner]]
    for item in student:
        item.requires_grad_()
    loss = MODELS.build({'type': name, **arguments})(**inputs)
    assert loss.isfinite().all()
    loss.sum().backward()
    gradients = [item.grad for item in student if item.grad is not None]
    assert all(gradient.isfinite().all() for gradient in gradients)
    assert sum(gradient.abs().sum() for gradient in gradients) > 0


MIMICRY = [
    'ATLoss', 'AngleWiseRKD', 'ChannelWiseDivergence', 'DISTLoss', 'DKDLoss', 'DistanceWiseRKD',
    'FTLoss', 'KLDivergence', 'L1Loss', 'L2Loss', 'MGDLoss', 'OFDLoss', 'PKDLoss',
]  # fmt: skip


@pytest.mark.parametrize('name', MIMICRY)
def test_loss_of_a_perfect_student_is_zero(name):
    arguments, make, _ = LOSSES[name]
    inputs = make()
    student, teacher, *_ = inputs
    loss = MODELS.build({'type': name, **arguments})(**{**inputs, student: inputs[teacher]})
    assert loss.item() == pytest.approx(0, abs=1e-5)  # rounding, and the eps of DISTLoss


def test_kl_divergence_by_hand():
    student, teacher = torch.tensor([[0.0, 0.0]]), torch.tensor([[0.0, 2 * np.log(3.0)]])
    loss = losses.KLDivergence(tau=2.0, loss_weight=0.5)(student, teacher)
    # At temperature 2 the teacher says (1/4, 3/4) and the student (1/2, 1/2).
    expected = 0.5 * 4 * (0.25 * np.log(0.5) + 0.75 * np.log(1.5))
    assert loss.item() == pytest.approx(expected, rel=1e-6)


def test_decoupled_kd_adds_up_to_kl():
    inputs = {'preds_S': torch.randn(1, 5), 'preds_T': torch.randn(1, 5)}
    others = 1 - inputs['preds_T'].softmax(1)[0, 2].item()
    decoupled = losses.DKDLoss(alpha=1.0, beta=others)(**inputs, gt_labels=torch.tensor([2]))
    torch.testing.assert_close(decoupled, losses.KLDivergence()(**inputs))


def test_channel_wise_divergence_is_kl_over_positions():
    inputs = maps('preds_S', 'preds_T')
    student, teacher = (value.flatten(2) for value in inputs.values())
    kl = F.kl_div(student.log_softmax(2), teacher.softmax(2), reduction='sum') / (2 * 4)
    torch.testing.assert_close(losses.ChannelWiseDivergence()(**inputs), kl)


def test_pkd_is_one_minus_the_correlation_of_each_channel():
    inputs = maps('preds_S', 'preds_T')
    student, teacher = (v.transpose(0, 1).flatten(1).numpy() for v in inputs.values())
    r = np.mean([np.corrcoef(s, t)[0, 1] for s, t in zip(student, teacher, strict=True)])
    n = student.shape[1]  # its deviation is the unbiased one, its mean is not
    expected = (1 - r) * (n - 1) / n
    assert losses.PKDLoss()(**inputs).item() == pytest.approx(expected, rel=1e-5)


def test_distance_wise_rkd_ignores_a_common_scale():
    points = torch.randn(5, 3)
    loss = losses.DistanceWiseRKD(with_l2_norm=False)
    assert loss(3 * points, points).item() == pytest.approx(0, abs=1e-6)
    assert loss(points * torch.tensor([1.0, 1.0, 3.0]), points).item() > 1e-2
