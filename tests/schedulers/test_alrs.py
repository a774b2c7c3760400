"""ALRS: hand-computed learning rates, epochs and processes, resuming, errors."""

import pytest
import torch
from helpers import run_in_processes
from mmengine.logging import MessageHub
from mmengine.registry import PARAM_SCHEDULERS

from mmkd.schedulers import ALRS

SETTINGS = dict(factor=0.5, threshold=0.1, relative_threshold=0.05)
# Mean losses of epochs, and the rates after them.
EPOCHS = [
    (4.0, 1.0),  # the first lowers nothing
    (3.85, 1.0),  # fell by 0.15
    (3.8, 0.5),  # fell by 0.05, 1.3 %
    (3.9, 0.25),  # rose
    (0.9, 0.25),
    (0.84, 0.25),  # fell by 0.06, but by 6.7 %
    (0.80, 0.125),  # fell by 0.04, 4.8 %
]


@pytest.fixture
def hub():
    hub = MessageHub.get_instance('test_alrs')
    MessageHub._instance_dict.pop('test_alrs', None)
    hub = MessageHub.get_instance('test_alrs')
    yield hub
    MessageHub._instance_dict.pop('test_alrs', None)


def optimizer():
    return torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)


def run_epoch(hub, scheduler, *losses):
    """Log iterations as MMEngine's runner does, and end the epoch."""
    start = hub.get_info('iter', -1) + 1
    scheduler.optimizer.step()
    for iteration, loss in enumerate(losses, start):
        hub.update_info('iter', iteration)
        hub.update_scalar('train/loss', loss)
    scheduler.step()


def test_learning_rates_are_those_computed_by_hand(hub):
    scheduler = PARAM_SCHEDULERS.build(
        dict(type='mmkd.ALRS', **SETTINGS), default_args=dict(optimizer=optimizer())
    )
    for mean, rate in EPOCHS:
        run_epoch(hub, scheduler, mean - 1, mean, mean + 1)  # only the mean counts
        assert scheduler.get_last_value() == [pytest.approx(rate)]


def test_both_thresholds_must_be_missed(hub):
    scheduler = ALRS(optimizer(), factor=0.5, threshold=0.0, relative_threshold=0.5)
    for loss in (4.0, 3.9):  # 2.5 % are too little, but 0.1 is enough
        run_epoch(hub, scheduler, loss)
    assert scheduler.get_last_value() == [1.0]


def test_a_resumed_schedule_is_the_uninterrupted_one(hub):
    scheduler = ALRS(optimizer(), **SETTINGS)
    for index, (mean, rate) in enumerate(EPOCHS):
        run_epoch(hub, scheduler, mean, mean)
        assert scheduler.get_last_value() == [pytest.approx(rate)]
        if index in (1, 4):
            resumed = optimizer()
            resumed.load_state_dict(scheduler.optimizer.state_dict())
            state = scheduler.state_dict()
            scheduler = ALRS(resumed, **SETTINGS)
            scheduler.load_state_dict(state)


def test_outside_of_begin_and_end_the_rate_stays(hub):
    scheduler = ALRS(optimizer(), begin=2, end=4, **SETTINGS)
    rates = []
    for _ in range(5):
        run_epoch(hub, scheduler, 1.0)
        rates += scheduler.get_last_value()
    assert rates == [1.0, 0.5, 0.25, 0.25, 0.25]


def _rates(rank):
    hub = MessageHub.get_instance('test_alrs')
    scheduler = ALRS(optimizer(), **SETTINGS)
    rates = []
    for mean, _ in EPOCHS:
        run_epoch(hub, scheduler, mean + (1 if rank else -1))
        rates += [*scheduler.get_last_value(), scheduler.previous]
    return rates


def test_all_processes_see_the_mean_loss_of_all():
    first, second = run_in_processes(_rates)
    assert first == second
    assert first[::2] == pytest.approx([rate for _, rate in EPOCHS])
    assert first[1::2] == pytest.approx([mean for mean, _ in EPOCHS], rel=1e-6)


@pytest.mark.parametrize(
    ('settings', 'message'),
    [
        (dict(factor=1.0), 'factor: expected a number between 0 and 1, got 1.0'),
        (dict(factor=0), 'factor: expected'),
        (dict(threshold=-1), 'threshold: expected a finite number >= 0, got -1'),
        (dict(relative_threshold=float('nan')), 'relative_threshold: expected'),
        (dict(by_epoch=False), 'by_epoch: expected True'),
    ],
)
def test_bad_arguments(settings, message):
    with pytest.raises(ValueError, match=message):
        ALRS(optimizer(), **settings)


def test_an_unknown_loss_names_the_logged_ones(hub):
    scheduler = ALRS(optimizer(), monitor='los')
    with pytest.raises(KeyError, match=r"\['loss'\], got 'los'"):
        run_epoch(hub, scheduler, 1.0)
