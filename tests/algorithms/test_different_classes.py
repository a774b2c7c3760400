"""A teacher of 80 classes and a student of 2: what compares classes stops, all else trains."""

import copy
import re

import pytest
import torch
from helpers import FASTER_RCNN, RETINANET, detection_batch

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.models.building import build_model
from mmkd.teachers import FrozenTeacher

ANCHORS = 9
POOL = {'type': 'mmkd.InstanceFeatures', 'source': 'neck', 'num_levels': 3}


def of_classes(config, classes, channels=16):
    """The config with a head of so many classes, and so many channels in its pyramid."""
    config = copy.deepcopy(config)
    head = config['bbox_head'] if 'bbox_head' in config else config['roi_head']['bbox_head']
    head['num_classes'] = classes
    if channels != 16:
        config['neck']['out_channels'] = head['in_channels'] = channels
    return config


def pair(config, loss, channels=16):
    """A student of 2 classes with an untrained teacher of 80."""
    torch.manual_seed(0)
    teacher = FrozenTeacher(build_model(of_classes(config, 80, channels)))
    return FrozenTeacherDistill(of_classes(config, 2), teacher, {'losses': {'kd': loss}})


CONFIDENT = {
    'type': 'mmkd.TopKLocationsLoss',
    'loss': {'type': 'mmkd.CMKDLoss'},
    'num_classes': 2,
}
CLASS_METHODS = [
    (RETINANET, CONFIDENT, 'mmkd.LevelOutputs', 'bbox_head.retina_cls', ANCHORS * 2, ANCHORS * 80),
    (RETINANET, {'type': 'mmkd.MimicLoss'}, 'ModuleOutputs', 'bbox_head.retina_cls', 18, 720),
    # One more for the background.
    (FASTER_RCNN, {'type': 'mmkd.CMKDLoss'}, 'ModuleOutputs', 'roi_head.bbox_head.fc_cls', 3, 81),
    (
        FASTER_RCNN,
        {'type': 'mmkd.LCKALoss'},
        'mmkd.LevelOutputs',
        'roi_head.bbox_head.fc_cls',
        3,
        81,
    ),
]


@pytest.mark.parametrize(('config', 'loss', 'kind', 'source', 'own', 'other'), CLASS_METHODS)
def test_methods_on_classes_stop_the_build(config, loss, kind, source, own, other):
    on = {'type': kind, 'source': source}
    with pytest.raises(ValueError, match='logits need a teacher of the same classes') as caught:
        pair(config, {**loss, 'on': on})
    message = str(caught.value)
    assert re.match(rf"loss_kd: expected equal shapes, got \({own},.* of the student's", message)
    assert f"of the student's {source} and ({other}," in message


ALIGN = {'type': 'mmkd.DLKDAlignLoss', 'on': POOL}
FEATURE_METHODS = {
    'PCKA': ({'type': 'mmkd.PCKALoss', 'on': 'neck', 'patch_size': 2, 'levels': (0, 1)}, 16),
    'FKD': ({'type': 'mmkd.FKDLoss', 'on': POOL}, 24),
    'DLKD-Align': ({**ALIGN, 'student_connector': {'type': 'mmkd.ProjectionMLP'}}, 24),
}


@pytest.mark.parametrize('method', FEATURE_METHODS)
@pytest.mark.parametrize('config', [RETINANET, FASTER_RCNN], ids=['RetinaNet', 'FasterRCNN'])
def test_methods_on_features_train(config, method):
    loss, channels = FEATURE_METHODS[method]
    algorithm = pair(config, loss, channels)
    assert algorithm.teacher.mode == 'features'
    inputs, samples = detection_batch(algorithm, [(3, 128, 128)] * 2)
    for sample in samples:
        sample.gt_instances.labels %= 2
    losses = algorithm(inputs, samples, mode='loss')
    assert algorithm.parse_losses(losses)[0].isfinite()
    assert losses['distill.loss_kd'] > 0
    losses['distill.loss_kd'].backward()
    gradients = {name: p.grad for name, p in algorithm.named_parameters() if p.grad is not None}
    assert all(gradient.isfinite().all() for gradient in gradients.values())
    assert gradients['architecture.neck.lateral_convs.0.conv.weight'].any()
    trained = {name for name in gradients if name.startswith('distiller.')}
    assert trained == {f'distiller.{name}' for name, _ in algorithm.distiller.named_parameters()}
