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
from mmkd.recorders.step_context import current_step
from mmkd.teachers import FrozenTeacher

EMBED = {'type': 'mmkd.LinearEmbed', 'out_channels': 8}
MLP = {'type': 'mmkd.ProjectionMLP', 'expansion': 16}
ONE_VIEW = {'type': 'mmkd.InstanceFeatures', 'source': 'neck', 'num_levels': 3}
TWO_VIEWS = {**ONE_VIEW, 'num_views': 2}
EMBEDDED = {'student_connector': EMBED, 'teacher_connector': EMBED}
LABELS = {'inputs': {'gt_labels': {'type': 'mmkd.InstanceLabels'}}}
METHODS = {
    'FKD': {'type': 'mmkd.FKDLoss', 'on': ONE_VIEW},
    'CCKD': {'type': 'mmkd.CCKDLoss', 'loss_weight': 1.0, 'on': ONE_VIEW, **EMBEDDED},
    'DLKD-Sup': {'type': 'mmkd.DLKDSupLoss', 'on': ONE_VIEW, **EMBEDDED, **LABELS},
    'DLKD-Sup of two views': {'type': 'mmkd.DLKDSupLoss', 'on': TWO_VIEWS, **EMBEDDED, **LABELS},
    'DLKD-Corr': {
        'type': 'mmkd.DLKDCorrLoss',
        'num_views': 2,
        'on': TWO_VIEWS,
        'student_connector': MLP,
    },
    'DLKD-Align': {'type': 'mmkd.DLKDAlignLoss', 'on': ONE_VIEW, 'student_connector': MLP},
}


def build(method):
    """A student and a teacher of other weights; the same at each call."""
    torch.manual_seed(1)
    teacher = FrozenTeacher(build_model(copy.deepcopy(RETINANET)))
    torch.manual_seed(0)
    distiller = {'losses': {'kd': copy.deepcopy(METHODS[method])}}
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


def left_behind(algorithm):
    """Whether a step is open, or a recorder holds something."""
    managers = algorithm.distiller.student_recorders, algorithm.distiller.teacher_recorders
    recorders = [recorder for manager in managers for recorder in manager.recorders.values()]
    rows = [getattr(recorder, '_rows', None) for recorder in recorders]
    try:
        current_step('test')
    except ValueError:
        return any(recorder.data_buffer for recorder in recorders) or rows != [None] * len(rows)
    return True


def test_a_step_leaves_nothing_behind():
    algorithm = build('DLKD-Sup')
    algorithm(*batch_of(algorithm, 1, 1), mode='loss')
    assert not left_behind(algorithm)
    predicted = algorithm.eval()(batch_of(algorithm, 1, 1)[0], mode='tensor')
    assert len(predicted) == 2


@pytest.mark.parametrize('where', ['student', 'teacher', 'loss'])
def test_a_step_that_fails_leaves_nothing_behind(where, monkeypatch):
    algorithm = build('DLKD-Sup')
    parts = {
        'student': algorithm.student.bbox_head,
        'teacher': algorithm.teacher.model.neck,
        'loss': algorithm.distiller.distill_losses['loss_kd'],
    }

    def fail(*_):
        raise RuntimeError('on purpose')

    handle = parts[where].register_forward_hook(fail)
    if where == 'student':  # a head's loss is a method of its own
        monkeypatch.setattr(algorithm.student.bbox_head, 'loss', fail)
    with pytest.raises(RuntimeError, match='on purpose'):
        algorithm(*batch_of(algorithm, 1, 1), mode='loss')
    assert not left_behind(algorithm)
    handle.remove()
    monkeypatch.undo()
    losses = algorithm(*batch_of(algorithm, 2, 1), mode='loss')
    assert losses['distill.loss_kd'].isfinite()


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
