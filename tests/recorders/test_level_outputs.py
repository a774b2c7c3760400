"""LevelOutputs on heads of MMDetection."""

import copy

import pytest
import torch
from helpers import RETINANET, detection_batch
from mmrazor.models.task_modules import RecorderManager
from torch import nn

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.algorithms.recorder_sources import cheapest_mode, check_sources, release
from mmkd.models.building import build_model
from mmkd.teachers import FrozenTeacher

BATCH_NORM = {'norm_cfg': {'type': 'BN'}}
RTMDET = {
    'cfg_path': 'mmdet::rtmdet/rtmdet_tiny_8xb32-300e_coco.py',
    'backbone': {'widen_factor': 0.125, 'init_cfg': None, **BATCH_NORM},
    'neck': {'in_channels': [32, 64, 128], 'out_channels': 16, **BATCH_NORM},
    'bbox_head': {'num_classes': 3, 'in_channels': 16, 'feat_channels': 16, **BATCH_NORM},
}
HEADS = [(RETINANET, 'bbox_head.retina_cls', 5), (RTMDET, 'bbox_head.rtm_cls', 3)]


def recorders(source, kind='mmkd.LevelOutputs'):
    return {'logits': {'type': kind, 'source': source}}


def recorder_of(model, source):
    manager = RecorderManager(recorders(source))
    manager.initialize(model)
    return manager, manager.get_recorder('logits')


class Head(nn.Module):
    """The same layer, or a list of layers, on each level."""

    def __init__(self, layers):
        super().__init__()
        self.layers = layers

    def forward(self, levels):
        layers = self.layers if isinstance(self.layers, nn.ModuleList) else [self.layers] * 9
        return [layer(level) for layer, level in zip(layers, levels, strict=False)]


def head_of(kind):
    torch.manual_seed(0)
    layer = nn.Linear(2, 3)
    many = nn.ModuleList(nn.Linear(2, 3) for _ in range(2))
    return Head({'one': layer, 'list': many, 'same': nn.ModuleList([layer, layer])}[kind])


LEVELS = (torch.ones(4, 2), torch.zeros(1, 2))


@pytest.mark.parametrize('kind', ['one', 'list', 'same'])
def test_each_call_is_a_level(kind):
    head = head_of(kind)
    manager, recorder = recorder_of(head, 'layers')
    for levels in (LEVELS, LEVELS[::-1]):
        with manager:
            expected = head(levels)
        record = recorder.get_record_data()
        assert [id(x) for x in record] == [id(x) for x in expected]  # of this pass alone
        head(levels)  # outside the block nothing is recorded
        assert len(recorder.get_record_data()) == 2
    release(manager)
    with pytest.raises(ValueError, match="source: 'layers' was not called in the forward pass"):
        recorder.get_record_data()


class Pair(nn.Module):
    def forward(self, x):
        return x, -x


def test_data_idx_chooses_within_each_output():
    head = Head(Pair())
    manager, recorder = recorder_of(head, 'layers')
    with manager:
        head(LEVELS)
    for index, sign in ((0, 1), (1, -1)):
        first, second = recorder.get_record_data(data_idx=index)
        assert torch.equal(first, sign * LEVELS[0])
        assert torch.equal(second, sign * LEVELS[1])
    with pytest.raises(
        ValueError, match='record_idx: expected 0, got 1; choose levels in the loss'
    ):
        recorder.get_record_data(record_idx=1)


def test_data_idx_does_not_cut_tensors():
    head = head_of('one')
    manager, recorder = recorder_of(head, 'layers')
    with manager:
        head(LEVELS)
    with pytest.raises(TypeError, match='record should be a list or tuple'):
        recorder.get_record_data(data_idx=0)


def distiller(source):
    loss = {'type': 'mmkd.TopKLocationsLoss', 'loss': {'type': 'KLDivergence'}}
    mapping = {
        'student': {'from_student': True, 'recorder': 'logits'},
        'teacher': {'from_student': False, 'recorder': 'logits'},
    }
    return {
        'type': 'ConfigurableDistiller',
        'student_recorders': recorders(source),
        'teacher_recorders': recorders(source),
        'distill_losses': {'loss_logits': {**loss, 'num_classes': 3, 'top_k': 10}},
        'loss_forward_mappings': {'loss_logits': mapping},
    }


@pytest.mark.parametrize(('config', 'source', 'levels'), HEADS, ids=['RetinaNet', 'RTMDet'])
def test_logits_of_a_student_in_training_and_of_its_teacher(config, source, levels):
    torch.manual_seed(0)
    teacher = FrozenTeacher(build_model(copy.deepcopy(config)))
    algorithm = FrozenTeacherDistill(copy.deepcopy(config), teacher, distiller(source))
    assert teacher.mode == 'tensor'
    inputs, samples = detection_batch(algorithm)
    algorithm.eval()  # BatchNorm, so that a second forward gives the same
    seen = []
    loss = algorithm.distiller.distill_losses['loss_logits']
    loss.register_forward_pre_hook(lambda _, args, kwargs: seen.append(kwargs), with_kwargs=True)
    losses = algorithm(inputs, samples, mode='loss')
    for name, model in (('student', algorithm.student), ('teacher', teacher.model)):
        expected, *_ = model(inputs, mode='tensor')
        assert len(expected) == len(seen[0][name]) == levels
        for one, other in zip(seen[0][name], expected, strict=True):
            torch.testing.assert_close(one, other)
    assert losses['distill.loss_logits'] > 0
    losses['distill.loss_logits'].backward()
    assert next(algorithm.student.neck.parameters()).grad.any()


def test_cheapest_forward():
    assert cheapest_mode(RecorderManager(recorders('bbox_head.rtm_cls'))) == 'tensor'
    assert cheapest_mode(RecorderManager(recorders('neck.fpn_convs'))) == 'features'


def test_unknown_source():
    manager = RecorderManager(recorders('bbox_head.retina_cl'))
    message = (
        r'student_recorders\.logits: the student \(RetinaNet\) has no module '
        r"'bbox_head\.retina_cl'; close to it: bbox_head\.retina_cls"
    )
    with pytest.raises(ValueError, match=message):
        check_sources(manager, build_model(copy.deepcopy(RETINANET)), 'student')
