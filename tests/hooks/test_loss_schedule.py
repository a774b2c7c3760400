"""Factors of distillation losses: their curve, what they do to a run, and wrong settings."""

from itertools import pairwise
from types import SimpleNamespace

import pytest
import torch
from helpers import (
    IMAGE_LOADER,
    Images,
    PowerCut,
    distiller_config,
    run_in_processes,
    toy_detector,
)
from mmengine.logging import MessageHub
from mmengine.model import MMDistributedDataParallel

from mmkd.algorithms import FrozenTeacherDistill
from mmkd.hooks import LossScheduleHook
from mmkd.storage.checkpoint import read_checkpoint
from mmkd.teachers import FrozenTeacher

HOOK = 'mmkd.LossScheduleHook'


@pytest.mark.parametrize(
    ('schedule', 'expected'),
    [
        ({}, {0: 1, 1000: 1}),
        ({'begin': 2}, {0: 0, 1.99: 0, 2: 1, 1000: 1}),
        ({'end': 3}, {0: 1, 2.99: 1, 3: 0, 1000: 0}),
        ({'warmup': 4}, {0: 0, 1: 0.25, 3: 0.75, 4: 1, 1000: 1}),
        ({'begin': 1, 'warmup': 2, 'end': 3}, {0.9: 0, 1: 0, 1.5: 0.25, 2.5: 0.75, 3: 0}),
        (
            {'warmup': 2, 'decay_begin': 16, 'decay': 'linear', 'end': 22},
            {0: 0, 1: 0.5, 2: 1, 15.9: 1, 16: 1, 17.5: 0.75, 20.5: 0.25, 22: 0, 23: 0},
        ),
        # (1 + cos(pi / 3)) / 2 = 3/4 a third of the way down
        (
            {'decay_begin': 16, 'decay': 'cosine', 'end': 22},
            {16: 1, 18: 0.75, 19: 0.5, 20: 0.25, 22: 0},
        ),
        (
            {'begin': 1, 'warmup': 1, 'decay': 'linear', 'end': 6},
            {1.5: 0.5, 2: 1, 3: 0.75, 5: 0.25},
        ),
    ],
)
def test_factor_over_time(schedule, expected):
    model = distilling()
    hook = LossScheduleHook({'loss_feature': schedule})
    for time, factor in expected.items():
        run_hook(hook, model, [round(time * 100)], iterations_per_epoch=100)
        assert model.loss_factors == pytest.approx({'loss_feature': factor}, abs=1e-12)


def test_a_short_name_means_the_same_loss():
    model = distilling()
    run_hook(LossScheduleHook({'feature': {'warmup': 4}}), model, [1])
    assert model.loss_factors == {'loss_feature': 1 / 16}
    with pytest.raises(ValueError, match=r'expected each loss once, got .*loss_feature'):
        LossScheduleHook({'feature': {}, 'loss_feature': {}})


def distilling(*losses):
    """A student with one connector a loss; with none, the loss ``loss_feature`` alone."""
    if not losses:
        config = distiller_config()
    else:
        kind = {'type': 'mmkd.LevelwiseConv', 'in_channels': 4, 'out_channels': 4, 'num_levels': 1}
        student = {'from_student': True, 'recorder': 'feature'}
        teacher = {'from_student': False, 'recorder': 'feature'}
        config = distiller_config(
            connectors=dict.fromkeys(losses, kind),
            distill_losses={name: {'type': 'mmkd.MimicLoss'} for name in losses},
            loss_forward_mappings={
                name: {'student': {**student, 'connector': name}, 'teacher': teacher}
                for name in losses
            },
        )
    return FrozenTeacherDistill(toy_detector(0), FrozenTeacher(toy_detector(1)), config)


def run_hook(hook, model, iterations, iterations_per_epoch=4):
    """The factors that the hook sets, iteration by iteration."""
    runner = SimpleNamespace(
        model=model,
        train_loop=None,
        train_dataloader=range(iterations_per_epoch),
        message_hub=MessageHub('schedule'),
    )
    hook.before_train(runner)
    for runner.iter in iterations:
        hook.before_train_iter(runner, 0)


# On from the middle of the first epoch to the end of the second, of four iterations each.
TIMES = {'begin': 0.5, 'warmup': 0.5, 'end': 2}
FACTORS = [0, 0, 0, 0.5, 1, 1, 1, 1, 0, 0, 0, 0]


def scheduled(toy_runner, model, schedule=TIMES, **arguments):
    """A run of three epochs in which ``loss_b`` follows a schedule."""
    hook = {'type': HOOK, 'losses': {'loss_b': schedule}}
    return toy_runner(model=model, loader=IMAGE_LOADER, custom_hooks=[hook], **arguments)


def logged(runner):
    return runner.message_hub.get_scalar('train/factor/loss_b').data[0].tolist()


def by_hand(model):
    """The weights after the same steps, written out."""
    student, teacher, convs = model.architecture, toy_detector(1), model.distiller.connectors
    images = torch.stack([Images()[index]['inputs'] for index in range(8)]).split(2) * 3
    sgd = torch.optim.SGD(model.parameters(), lr=0.05, momentum=0.9)
    for step, (batch, factor) in enumerate(zip(images, FACTORS, strict=True)):
        sgd.param_groups[0]['lr'] = 0.05 if step < 8 else 0.005
        feature, target = student.extract_feat(batch), teacher.extract_feat(batch).detach()
        distances = [(convs[name].convs[0](feature) - target).square().mean() for name in convs]
        loss = student.bbox_head(feature).square().mean() + distances[0] + factor * distances[1]
        sgd.zero_grad()
        loss.backward()
        sgd.step()
    return model.state_dict()


def test_a_run_equals_one_by_hand(toy_runner):
    runner = scheduled(toy_runner, distilling('loss_a', 'loss_b'))
    runner.train()
    assert logged(runner) == FACTORS
    expected = by_hand(distilling('loss_a', 'loss_b'))
    for name, value in runner.model.state_dict().items():
        torch.testing.assert_close(value, expected[name])


def test_resumed_run_continues_the_schedule(toy_runner, tmp_path):
    whole = scheduled(toy_runner, distilling('loss_a', 'loss_b'), work_dir='whole')
    whole.train()
    cut = scheduled(toy_runner, distilling('loss_a', 'loss_b'), work_dir='parts')
    cut.register_hook(PowerCut())
    with pytest.raises(KeyboardInterrupt):
        cut.train()
    model = distilling('loss_a', 'loss_b')
    resumed = scheduled(toy_runner, model, work_dir='parts', resume=True)
    resumed.train()
    assert logged(resumed) == FACTORS
    expected, got = (
        read_checkpoint(str(tmp_path / run / 'epoch_3.pth')) for run in ('whole', 'parts')
    )
    for name, value in expected['state_dict'].items():
        assert torch.equal(got['state_dict'][name], value)


def test_no_teacher_while_all_losses_are_off(toy_runner):
    model = distilling('loss_b')
    calls = []
    model.teacher.model.neck.register_forward_hook(lambda *_: calls.append(runner.iter))
    runner = scheduled(toy_runner, model)
    runner.train()
    assert calls == [iteration for iteration, factor in enumerate(FACTORS) if factor]


def test_factors_that_stay_one_are_not_logged(toy_runner):
    runner = scheduled(toy_runner, distilling('loss_b'), schedule={'begin': 0})
    runner.train()
    assert runner.model.loss_factors == {'loss_b': 1}
    assert not any('factor' in name for name in runner.message_hub.log_scalars)


def test_other_factors_stay():
    model = distilling('loss_a', 'loss_b')
    model.loss_factors['loss_a'] = 0.3
    run_hook(LossScheduleHook({'loss_b': {'begin': 1}}), model, [0])
    assert model.loss_factors == {'loss_a': 0.3, 'loss_b': 0}


def test_in_iterations(toy_runner):
    hook = {'type': HOOK, 'losses': {'loss_b': {'begin': 2, 'end': 5}}, 'by_epoch': False}
    runner = toy_runner(
        model=distilling('loss_b'),
        loader=IMAGE_LOADER,
        custom_hooks=[hook],
        train_cfg={'by_epoch': False, 'max_iters': 7},
        param_scheduler=None,
    )
    runner.train()
    assert logged(runner) == [0, 0, 1, 1, 1, 0, 0]


def test_loop_without_epochs(toy_runner):
    train_cfg = {'by_epoch': False, 'max_iters': 7}
    runner = scheduled(toy_runner, distilling('loss_b'), train_cfg=train_cfg, param_scheduler=None)
    with pytest.raises(
        ValueError, match='by_epoch: expected False, because an iteration-based loop'
    ):
        runner.train()


def test_unknown_losses_are_named_with_those_there_are():
    hook = LossScheduleHook({'loss_a': {}, 'loss_pkca': {}})
    with pytest.raises(ValueError, match=r"of \['loss_a', 'loss_b'\], got \['loss_pkca'\]"):
        run_hook(hook, distilling('loss_a', 'loss_b'), [0])


def test_model_without_distiller():
    with pytest.raises(ValueError, match=r'a model with a distiller .* got ToyDetector'):
        run_hook(LossScheduleHook({'loss_a': {}}), toy_detector(), [0])


@pytest.mark.parametrize(
    ('schedule', 'message'),
    [
        ({'start': 1}, r"expected some of \['begin', .*got \['start'\]"),
        ({'begin': -1}, 'begin and warmup of at least 0, got -1 and 0'),
        ({'warmup': -2}, 'begin and warmup of at least 0, got 0 and -2'),
        ({'begin': 3, 'end': 3}, 'begin < end .* got begin=3, warmup=0'),
        ({'begin': 1, 'warmup': 3, 'end': 3}, r'begin \+ warmup <= decay_begin <= end'),
        ({'warmup': 3, 'decay': 'linear', 'decay_begin': 2, 'end': 9}, 'decay_begin=2, end=9'),
        ({'decay': 'linear', 'decay_begin': 9, 'end': 8}, 'decay_begin=9, end=8'),
        ({'decay': 'linear'}, 'decay: expected an end, got none'),
        ({'decay': 'step', 'end': 3}, r"decay: expected one of \['linear', 'cosine'\], got 'step'"),
        ({'decay_begin': 2, 'end': 3}, 'decay_begin: expected a decay'),
    ],
)
def test_contradictions(schedule, message):
    with pytest.raises(ValueError, match=rf'losses\.loss_b: .*{message}'):
        LossScheduleHook({'loss_a': {}, 'loss_b': schedule})


def train_step_by_step(rank, batches):
    """Parameters after each of six steps; wrapped, in a group of processes."""
    model = distilling('loss_a', 'loss_b')
    in_group = torch.distributed.is_initialized()
    forward = MMDistributedDataParallel(model, broadcast_buffers=False) if in_group else model
    losses = {'loss_a': {'end': 4}, 'loss_b': {'begin': 2, 'end': 4}}
    hook = LossScheduleHook(losses, by_epoch=False)
    sgd = torch.optim.SGD(model.parameters(), lr=0.1)
    steps = []
    for iteration in range(6):
        run_hook(hook, forward, [iteration])
        sgd.zero_grad()
        parsed, _ = model.parse_losses(forward(batches[rank], mode='loss'))
        parsed.backward()
        sgd.step()
        steps.append({name: value.detach().clone() for name, value in model.named_parameters()})
    return steps


def test_two_processes_stay_in_step():
    images = torch.randn(4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    first, second = run_in_processes(train_step_by_step, images.chunk(2))
    alone = train_step_by_step(0, [images])
    for step in range(6):
        for name, value in alone[step].items():
            assert torch.equal(first[step][name], second[step][name])
            torch.testing.assert_close(first[step][name], value)
    moved = {
        loss: [not torch.equal(before[weight], after[weight]) for before, after in pairwise(first)]
        for loss in ('loss_a', 'loss_b')
        for weight in [f'distiller.connectors.{loss}.convs.0.weight']
    }
    assert moved == {
        'loss_a': [True, True, True, False, False],
        'loss_b': [False, True, True, False, False],
    }
