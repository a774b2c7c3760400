"""Detectors distilled at their ground-truth instances, in batches with and without any."""

import copy

import pytest
import torch
from helpers import RETINANET, detection_batch, run_in_processes
from mmengine.model import MMDistributedDataParallel
from mmengine.structures import InstanceData
from torchvision.ops import roi_align

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.losses import FKDLoss
from mmkd.models.building import build_model
from mmkd.teachers import FrozenTeacher

FPN = {'fpn': {'type': 'ModuleOutputs', 'source': 'neck'}}
POOL = {'type': 'mmkd.InstanceFeatures', 'strides': (8, 16, 32)}
EMBED = {'type': 'mmkd.LinearEmbed', 'in_channels': 16, 'out_channels': 8}
SPINDLE = {'type': 'mmkd.ProjectionMLP', 'in_channels': 16, 'out_channels': 16}
VIEWS = {**POOL, 'num_views': 2}


def record(from_student, connector):
    return {'from_student': from_student, 'recorder': 'fpn', 'connector': connector}


def mapping(student, teacher, **more):
    return {'student': record(True, student), 'teacher': record(False, teacher), **more}


LABELS = record(True, 'labels')
METHODS = {
    'FKD': ({'type': 'mmkd.FKDLoss'}, {'instances': POOL}, mapping('instances', 'instances')),
    'CCKD': (
        {'type': 'mmkd.CCKDLoss', 'loss_weight': 1.0},
        {'s': [POOL, EMBED], 't': [POOL, EMBED]},
        mapping('s', 't'),
    ),
    'DLKD-Sup': (
        {'type': 'mmkd.DLKDSupLoss'},
        {'s': [POOL, EMBED], 't': [POOL, EMBED], 'labels': {'type': 'mmkd.InstanceLabels'}},
        mapping('s', 't', gt_labels=LABELS),
    ),
    'DLKD-Sup of two views': (
        {'type': 'mmkd.DLKDSupLoss'},
        {'s': [VIEWS, EMBED], 't': [VIEWS, EMBED], 'labels': {'type': 'mmkd.InstanceLabels'}},
        mapping('s', 't', gt_labels=LABELS),
    ),
    'DLKD-Corr': (
        {'type': 'mmkd.DLKDCorrLoss', 'num_views': 2},
        {'s': [VIEWS, SPINDLE], 't': VIEWS},
        mapping('s', 't'),
    ),
    'DLKD-Align': (
        {'type': 'mmkd.DLKDAlignLoss'},
        {'s': [POOL, SPINDLE], 't': POOL},
        mapping('s', 't'),
    ),
}


def build(method):
    """A student and a teacher of other weights; the same at each call."""
    loss, connectors, loss_mapping = copy.deepcopy(METHODS[method])
    torch.manual_seed(1)
    teacher = FrozenTeacher(build_model(copy.deepcopy(RETINANET)))
    torch.manual_seed(0)
    distiller = {
        'type': 'ConfigurableDistiller',
        'student_recorders': FPN,
        'teacher_recorders': FPN,
        'connectors': connectors,
        'distill_losses': {'loss_kd': loss},
        'loss_forward_mappings': {'loss_kd': loss_mapping},
    }
    return FrozenTeacherDistill(copy.deepcopy(RETINANET), teacher, distiller)


def batch_of(model, *counts):
    """An image for each count of instances, whose boxes count down."""
    inputs, samples = detection_batch(model, [(3, 128, 128)] * len(counts))
    for count, sample in zip(counts, samples, strict=True):
        shift = torch.arange(count)[:, None] * 10.0
        boxes = torch.tensor([[8.0, 16.0, 40.0, 64.0]]).repeat(count, 1) + shift
        sample.gt_instances = InstanceData(bboxes=boxes, labels=torch.arange(count) % 3)
    return inputs, samples


def connector_gradients(algorithm):
    parameters = algorithm.distiller.connectors.named_parameters()
    return {name: p.grad for name, p in parameters if p.requires_grad}


@pytest.mark.parametrize('method', METHODS)
def test_instances_teach_student_and_connectors(method):
    algorithm = build(method)
    losses = algorithm(*batch_of(algorithm, 3, 0, 2), mode='loss')
    assert losses['distill.loss_kd'] > 0
    assert losses['distill.loss_kd'].isfinite()
    losses['distill.loss_kd'].backward()
    assert algorithm.student.neck.lateral_convs[0].conv.weight.grad.any()
    assert all(gradient is not None for gradient in connector_gradients(algorithm).values())
    weights = [g for n, g in connector_gradients(algorithm).items() if n.endswith('weight')]
    assert all(gradient.any() for gradient in weights)


def test_the_loss_is_that_of_the_features_at_the_boxes():
    algorithm = build('FKD').eval()  # BatchNorm, so that a second forward gives the same
    inputs, samples = batch_of(algorithm, 3, 2)
    loss = algorithm(inputs, samples, mode='loss')['distill.loss_kd']
    boxes = [sample.gt_instances.bboxes for sample in samples]  # small ones: of the first level
    rows = [
        roi_align(model.extract_feat(inputs)[0], boxes, 7, 1 / 8, aligned=True).mean((2, 3))
        for model in (algorithm.student, algorithm.teacher.model)
    ]
    torch.testing.assert_close(loss, FKDLoss()(*rows))


@pytest.mark.parametrize('method', METHODS)
def test_a_batch_without_instances(method):
    algorithm = build(method)
    losses = algorithm(*batch_of(algorithm, 0, 0), mode='loss')
    assert losses['distill.loss_kd'] == 0
    total, _ = algorithm.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    for gradient in connector_gradients(algorithm).values():
        assert not gradient.any()
    assert all(p.grad.isfinite().all() for p in algorithm.parameters() if p.requires_grad)


@pytest.mark.parametrize('method', METHODS)
def test_a_batch_of_one_instance(method):
    algorithm = build(method)
    losses = algorithm(*batch_of(algorithm, 0, 1), mode='loss')
    total, _ = algorithm.parse_losses(losses)
    total.backward()
    assert total.isfinite()
    assert all(p.grad.isfinite().all() for p in algorithm.parameters() if p.requires_grad)


def test_a_step_leaves_no_batch_behind():
    algorithm = build('DLKD-Sup')
    algorithm(*batch_of(algorithm, 1, 1), mode='loss')
    with pytest.raises(ValueError, match='InstanceLabels: expected a batch with ground truth'):
        algorithm.distiller.connectors['labels'](None)
    predicted = algorithm.eval()(batch_of(algorithm, 1, 1)[0], mode='tensor')
    assert len(predicted) == 2


# Of each process: the instances of its two images.
STEPS = [((2, 3), (0, 0)), ((0, 0), (0, 0)), ((0, 0), (1, 2))]


def trained_in_a_process(rank):
    """For each method the parameters after these steps, and gradients of the connectors in them."""
    results = {}
    for method in METHODS:
        algorithm = build(method)
        wrapped = MMDistributedDataParallel(algorithm, broadcast_buffers=False)
        optimizer = torch.optim.SGD(algorithm.parameters(), lr=0.01)
        gradients = []
        for counts in STEPS:
            inputs, samples = batch_of(algorithm, *counts[rank])
            optimizer.zero_grad(set_to_none=True)
            algorithm.parse_losses(wrapped(inputs, samples, mode='loss'))[0].backward()
            optimizer.step()
            gradients.append(connector_gradients(algorithm))
        parameters = {name: p.detach() for name, p in algorithm.named_parameters()}
        results[method] = parameters, gradients
    return results


def test_two_processes_of_which_one_has_no_instances():
    first, second = run_in_processes(trained_in_a_process)
    for method, (parameters, gradients) in first.items():
        torch.testing.assert_close(second[method], (parameters, gradients), rtol=0, atol=0)
        assert all(parameter.isfinite().all() for parameter in parameters.values())
        for counts, step in zip(STEPS, gradients, strict=True):
            weights = [gradient for name, gradient in step.items() if name.endswith('weight')]
            any_instance = counts != ((0, 0), (0, 0))
            assert [bool(weight.any()) for weight in weights] == [any_instance] * len(weights)
