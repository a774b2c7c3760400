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


ITERATIONS = {
    'train_cfg': {'by_epoch': False, 'max_iters': 12, 'val_interval': 4},
    'param_scheduler': {'type': 'MultiStepLR', 'milestones': [7], 'by_epoch': False},
}


class PowerCut(Hook):
    """Stops a run after an iteration, by default in the middle of its second epoch."""

    priority = 'LOWEST'

    def __init__(self, iteration=6):
        self.iteration = iteration

    def after_train_iter(self, runner, batch_idx, data_batch=None, outputs=None):
        if runner.iter + 1 == self.iteration:
            raise KeyboardInterrupt


def workers(count):
    return {'num_workers': count, 'worker_init_fn': {'type': 'mmkd_epoch_worker_init'}}


def weights(runner):
    return torch.cat([parameter.flatten() for parameter in runner.train().parameters()]).detach()


def checkpoints(interval, **options):
    """Hooks of a run that saves by iteration."""
    hook = {'type': 'mmkd.AtomicCheckpointHook', 'by_epoch': False, 'interval': interval}
    return {'default_hooks': {'checkpoint': hook | options}, 'custom_hooks': HOOKS}


def interrupt_and_resume(toy_runner, iteration=6, **options):
    runner = toy_runner('cut', **options)
    runner.register_hook(PowerCut(iteration))
    with pytest.raises(KeyboardInterrupt):
        runner.train()
    return toy_runner('cut', resume=True, **options)


@pytest.mark.parametrize('num_workers', [0, 2])
def test_a_resumed_run_equals_an_uninterrupted_one(toy_runner, num_workers):
    options = {'loader': workers(num_workers), 'custom_hooks': HOOKS}
    whole = weights(toy_runner('whole', **options))
    resumed = weights(interrupt_and_resume(toy_runner, **options))
    assert torch.equal(whole, resumed)


@pytest.mark.parametrize('num_workers', [0, 2])
@pytest.mark.parametrize(('interval', 'iteration'), [(3, 7), (5, 6), (4, 4)])
def test_also_inside_an_epoch(toy_runner, num_workers, interval, iteration):
    options = {'loader': workers(num_workers), **checkpoints(interval)}
    resumed = interrupt_and_resume(toy_runner, iteration, **options)
    assert torch.equal(weights(toy_runner('whole', **options)), weights(resumed))
    assert resumed.iter == 12  # not one batch twice


@pytest.mark.parametrize('counts', [2, 3, 4])
def test_also_in_the_middle_of_an_accumulation(toy_runner, counts):
    optimizer = {'type': 'SGD', 'lr': 0.05, 'momentum': 0.9}
    accumulating = {'optimizer': optimizer, 'accumulative_counts': counts}
    options = {'optim_wrapper': accumulating, **checkpoints(interval=5)}
    resumed = interrupt_and_resume(toy_runner, **options)
    assert torch.equal(weights(toy_runner('whole', **options)), weights(resumed))


@pytest.mark.parametrize('sampler', ['InfiniteSampler', 'DefaultSampler'])
@pytest.mark.parametrize('num_workers', [0, 2])
def test_also_without_epochs(toy_runner, monkeypatch, num_workers, sampler):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)
    loader = {**workers(num_workers), 'sampler': {'type': sampler, 'shuffle': True}}
    best = {'save_best': 'score', 'rule': 'greater'}
    scores = [{'score': 0.1 * i} for i in range(3)]
    options = {'loader': loader, 'scores': scores, **ITERATIONS, **checkpoints(4, **best)}
    whole = weights(toy_runner('whole', **options))
    assert torch.equal(whole, weights(interrupt_and_resume(toy_runner, **options)))


def test_a_loop_without_epochs_needs_the_seed_before_the_checkpoint_is_read(
    toy_runner, monkeypatch
):
    monkeypatch.setattr('mmengine.runner.loops.time.sleep', lambda seconds: None)
    options = {'seed': None, **ITERATIONS, **checkpoints(interval=3)}
    resumed = interrupt_and_resume(toy_runner, **options)
    with pytest.raises(ValueError, match=r'randomness\.seed: expected (\d+), the seed of') as error:
        resumed.train()
    assert f'--cfg-options randomness.seed={resumed.seed}' in str(error.value)
    options['seed'] = resumed.seed
    whole = weights(toy_runner('whole', **options))
    assert torch.equal(whole, weights(toy_runner('cut', resume=True, **options)))


def test_as_many_batches_of_other_data_are_refused_inside_an_epoch(toy_runner):
    options = checkpoints(interval=3)
    interrupt_and_resume(toy_runner, **options)
    loader = {'batch_size': 4, 'dataset': [{'inputs': torch.zeros(4)}] * 16}
    resumed = toy_runner('cut', resume=True, loader=loader, **options)
    with pytest.raises(ValueError, match=r'data changed .*batch size: 2, now 4, samples: 8, now'):
        resumed.train()


def test_an_epoch_of_another_length_is_refused_inside_and_accepted_after_an_epoch(toy_runner):
    options = checkpoints(interval=3)
    interrupt_and_resume(toy_runner, **options)
    resumed = toy_runner('cut', resume=True, loader={'batch_size': 4}, **options)
    with pytest.raises(ValueError, match=r'after batch 2 of 4 of epoch 2, .*batches: 4, now 2'):
        resumed.train()
    options = {'custom_hooks': HOOKS}
    interrupt_and_resume(toy_runner, **options)  # a checkpoint after epoch 1
    resumed = toy_runner('cut', resume=True, loader={'batch_size': 4}, **options)
    resumed.train()
    assert resumed.iter == 4 + 2 * 2


def test_validation_does_not_change_the_random_state(toy_runner):
    runner = toy_runner(scores=[{}], custom_hooks=HOOKS)
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    runner.val()
    assert torch.equal(torch.rand(3), expected)


@pytest.mark.parametrize(
    'states', [5, [5], [{}], [{'random': None}], [{'random': {'python': (3, 'text', None)}}]]
)
def test_a_checkpoint_with_other_states(toy_runner, states, tmp_path):
    interrupt_and_resume(toy_runner, **checkpoints(3))
    path = tmp_path / 'cut/iter_3.pth'
    torch.save(torch.load(path, weights_only=True) | {'process_states': states}, path)
    resumed = toy_runner('cut', resume=True, load_from=str(path), **checkpoints(3))
    with pytest.raises(ValueError, match='resume: process_states: expected'):
        resumed.train()


def test_a_checkpoint_without_the_states_of_all_processes(toy_runner, monkeypatch):
    """Of several processes the stock hook saves the state of one."""
    optim_wrapper = {'optimizer': {'type': 'SGD', 'lr': 0.05}, 'accumulative_counts': 4}
    resumed = interrupt_and_resume(toy_runner, optim_wrapper=optim_wrapper, **checkpoints(5))
    resumed._world_size = 2
    with pytest.raises(ValueError, match=r'in the middle of a gradient accumulation by 1 proc'):
        resumed.train()


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
