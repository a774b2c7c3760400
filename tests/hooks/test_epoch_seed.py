import random
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from torch.utils.data import DataLoader, Dataset

from mmkd.hooks import EpochSeedHook, seed_epoch_worker

HOOKS = [{'type': 'mmkd.EpochSeedHook'}]


class PowerCut(Hook):
    """Stops a run in the middle of its second epoch."""

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.epoch == 1 and batch_idx == 1:
            raise KeyboardInterrupt


def workers(count):
    return {'num_workers': count, 'worker_init_fn': {'type': 'mmkd_epoch_worker_init'}}


def weights(runner):
    return torch.cat([parameter.flatten() for parameter in runner.train().parameters()]).detach()


def interrupt_and_resume(toy_runner, **options):
    runner = toy_runner('cut', **options)
    runner.register_hook(PowerCut())
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    return toy_runner('cut', resume=True, **options)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(toy_runner, num_workers):
    options = {'loader': workers(num_workers), 'custom_hooks': HOOKS}
    whole = weights(toy_runner('whole', **options))
    resumed = weights(interrupt_and_resume(toy_runner, **options))
    assert torch.equal(whole, resumed)


def test_without_the_hook_it_does_not(toy_runner):
    """The toy run is random enough for the test above to mean something."""
    whole = weights(toy_runner('whole'))
    assert not torch.equal(whole, weights(interrupt_and_resume(toy_runner)))


def test_a_seed_that_the_config_leaves_out_comes_from_the_checkpoint(toy_runner, monkeypatch):
    drawn = iter([11, 22, 33])
    monkeypatch.setattr('mmengine.runner.utils.sync_random_seed', lambda: next(drawn))
    options = {'seed': None, 'custom_hooks': HOOKS}
    resumed = interrupt_and_resume(toy_runner, **options)  # draws 11, then 22
    end = weights(resumed)
    assert resumed.seed == resumed.train_dataloader.sampler.seed == 11
    assert torch.equal(end, weights(toy_runner('whole', seed=11, custom_hooks=HOOKS)))


def draws_after(seed, epoch, rank):
    runner = SimpleNamespace(seed=seed, epoch=epoch, rank=rank)
    EpochSeedHook().before_train_epoch(runner)
    return random.random(), np.random.rand(), torch.rand(1).item()


def test_the_random_numbers_depend_on_seed_epoch_and_rank_and_on_nothing_else():
    keys = [(s, e, r) for s in (0, 1) for e in (0, 1) for r in (0, 1)]
    first = [draws_after(*key) for key in keys]
    assert first == [draws_after(*key) for key in keys]
    for generator in zip(*first, strict=True):
        assert len(set(generator)) == len(keys)  # (0, 1, 0) and (1, 0, 0) must not collide


class Draws(Dataset):
    def __len__(self):
        return 4

    def __getitem__(self, index):
        return random.random(), np.random.rand(), torch.rand(1, dtype=torch.float64).item()


def test_workers_draw_anew_each_epoch_and_differ_from_each_other():
    loader = DataLoader(Draws(), num_workers=2, worker_init_fn=seed_epoch_worker)
    draws = []
    for epoch in (0, 1, 0):
        EpochSeedHook().before_train_epoch(SimpleNamespace(seed=0, epoch=epoch, rank=0))
        draws.append(torch.stack([torch.stack(batch).flatten() for batch in loader]))
    assert torch.equal(draws[0], draws[2])
    both = torch.cat(draws[:2])
    assert all(len(both[:, generator].unique()) == len(both) for generator in range(3))


def test_the_worker_function_is_registered_where_mmengine_looks():
    assert FUNCTIONS.get('mmkd_epoch_worker_init') is seed_epoch_worker


@pytest.mark.parametrize(
    ('options', 'reason'),
    [
        ({'loader': {**workers(1), 'persistent_workers': True}}, 'persistent_workers=True'),
        ({'train_cfg': {'by_epoch': False, 'max_iters': 1}}, 'iteration-based loop'),
        ({'loader': workers(1)}, None),
    ],
)
def test_warns_once_where_it_cannot_help(toy_runner, monkeypatch, options, reason):
    runner = toy_runner(custom_hooks=HOOKS, **options)
    warnings = []
    monkeypatch.setattr(runner.logger, 'warning', warnings.append)
    runner.train()
    ours = [text for text in warnings if 'EpochSeedHook' in text]
    assert [reason in text for text in ours] == ([True] if reason else [])
