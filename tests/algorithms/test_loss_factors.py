"""Factors of the distiller's losses, as a schedule sets them."""

import pytest
import torch
from helpers import distiller_config, run_in_processes, toy_detector
from mmengine.model import MMDistributedDataParallel

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.teachers import FrozenTeacher

CONNECTOR = {'type': 'mmkd.LevelwiseConv', 'in_channels': 4, 'out_channels': 4, 'num_levels': 1}
MAPPING = {
    'student': {'from_student': True, 'recorder': 'feature'},
    'teacher': {'from_student': False, 'recorder': 'feature'},
}
CONNECTED = {**MAPPING, 'student': {**MAPPING['student'], 'connector': 'to_teacher'}}
WEIGHT = 'distiller.connectors.to_teacher.convs.0.weight'


def algorithm_of(*names):
    """Losses under these names; those of name ``loss_connected`` through a trained connector."""
    config = distiller_config(
        distill_losses={name: {'type': 'mmkd.MimicLoss'} for name in names},
        loss_forward_mappings={n: CONNECTED if n == 'loss_connected' else MAPPING for n in names},
        connectors={'to_teacher': CONNECTOR} if 'loss_connected' in names else None,
    )
    torch.manual_seed(0)
    return FrozenTeacherDistill(toy_detector(0), FrozenTeacher(toy_detector(1)), config)


@pytest.fixture
def images():
    return torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(0))


def step(algorithm, images, **factors):
    """Losses and gradients of a step with these factors."""
    algorithm.loss_factors = factors
    algorithm.zero_grad(set_to_none=True)
    losses = algorithm(images, mode='loss')
    sum(losses.values()).backward()
    return losses, {name: p.grad for name, p in algorithm.named_parameters()}


def test_a_half_halves_a_loss_and_its_gradient(images):
    algorithm = algorithm_of('loss_one', 'loss_connected')
    whole, gradients = step(algorithm, images)
    half, halved = step(algorithm, images, loss_connected=0.5)
    assert half.keys() == whole.keys()
    assert half['distill.loss_connected'] == 0.5 * whole['distill.loss_connected'] > 0
    for name in ('student.loss_task', 'distill.loss_one'):
        assert half[name] == whole[name]
    torch.testing.assert_close(halved[WEIGHT], gradients[WEIGHT] / 2, rtol=0, atol=0)


def test_a_zero_leaves_the_other_losses_gradients(images):
    _, gradients = step(algorithm_of('loss_one', 'loss_connected'), images, loss_connected=0.0)
    _, alone = step(algorithm_of('loss_one'), images)
    assert not gradients.pop(WEIGHT).any()
    for name, gradient in alone.items():
        torch.testing.assert_close(gradients[name], gradient, rtol=0, atol=0)


def calls_of(model):
    calls = []
    model.backbone.register_forward_hook(lambda *args: calls.append(args))
    return calls


@pytest.mark.parametrize(
    ('factors', 'runs'),
    [
        ({}, True),
        ({'loss_one': 0.0}, True),  # the other counts
        ({'loss_one': 0.0, 'loss_two': 0.1}, True),
        ({'loss_one': 0.0, 'loss_two': 0.0}, False),
    ],
)
def test_the_teacher_runs_only_for_a_loss_that_counts(images, factors, runs):
    algorithm = algorithm_of('loss_one', 'loss_two')
    teachers, students = calls_of(algorithm.teacher.model), calls_of(algorithm.student)
    losses, _ = step(algorithm, images, **factors)
    assert (len(teachers), len(students)) == (int(runs), 1)
    names = {'distill.loss_one', 'distill.loss_two'} if runs else set()
    assert losses.keys() == {'student.loss_task', *names}
    expected = toy_detector(0)(images, mode='loss')['loss_task']
    assert torch.equal(losses['student.loss_task'], expected)


def test_distillation_comes_back(images):
    algorithm = algorithm_of('loss_connected')
    before, gradients = step(algorithm, images)
    stopped, zeros = step(algorithm, images, loss_connected=0.0)
    assert stopped.keys() == {'student.loss_task', 'distill.loss_stopped'}
    assert stopped['distill.loss_stopped'] == 0
    assert not zeros[WEIGHT].any()
    after, again = step(algorithm, images)
    assert after == before
    torch.testing.assert_close(again, gradients, rtol=0, atol=0)


def test_a_distiller_without_losses_still_records(images):
    algorithm = algorithm_of()
    calls = calls_of(algorithm.teacher.model)
    assert step(algorithm, images)[0].keys() == {'student.loss_task'}
    assert len(calls) == 1


def gradients_in_a_process(rank, factors):
    algorithm = algorithm_of('loss_connected')
    wrapped = MMDistributedDataParallel(algorithm, broadcast_buffers=False)
    images = torch.randn(2, 3, 8, 8, generator=torch.Generator().manual_seed(rank))
    steps = []
    for factor in factors:
        algorithm.loss_factors = {'loss_connected': factor}
        algorithm.zero_grad(set_to_none=True)
        sum(wrapped(images, mode='loss').values()).backward()
        steps.append({name: p.grad for name, p in algorithm.named_parameters()})
    return steps


def test_two_processes_agree_while_nothing_is_distilled():
    first, second = run_in_processes(gradients_in_a_process, (1.0, 0.0, 0.0, 0.5))
    assert [bool(gradients[WEIGHT].any()) for gradients in first] == [True, False, False, True]
    torch.testing.assert_close(first, second, rtol=0, atol=0)
    torch.testing.assert_close(first[3][WEIGHT], first[0][WEIGHT] / 2)
