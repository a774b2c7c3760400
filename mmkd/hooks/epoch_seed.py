"""Make a run that resumes after an epoch equal to an uninterrupted run."""

import random

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed

from mmkd.registry import HOOKS


@FUNCTIONS.register_module('mmkd_epoch_worker_init')
def seed_epoch_worker(worker_id: int) -> None:
    """Give each worker of a data loader a new seed each epoch (``worker_init_fn``).

    MMEngine's default gives worker ``k`` the same seed in every epoch, so every epoch repeats the
    random numbers and much of the augmentation. PyTorch already seeds the worker's own generator
    from the main process, differently for each worker and epoch. This function seeds Python and
    NumPy from it.

    Args:
        worker_id: Unused; PyTorch's seed already depends on it.
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Seed Python, NumPy and torch before each training epoch from (seed, epoch, rank).

    A checkpoint holds no random state. Without this hook, a resumed run therefore draws other
    augmentations and dropout masks. With it, and with deterministic kernels
    (``randomness=dict(deterministic=True)``), a run that resumes from an epoch's checkpoint ends
    with exactly the parameters of an uninterrupted run, for any ``num_workers``. The seed is
    ``runner.seed``. MMEngine stores it in the checkpoint, even if the config sets none.

    Also give the training loader ``worker_init_fn=dict(type='mmkd_epoch_worker_init')`` (see
    :func:`seed_epoch_worker`). The hook cannot seed workers that live through all epochs
    (``persistent_workers=True``), nor iteration-based loops. It warns about both.

    Example:
        >>> default_hooks = dict(epoch_seed=dict(type='mmkd.EpochSeedHook'))
        >>> worker_init_fn = dict(type='mmkd_epoch_worker_init')
    """

    priority = 'HIGHEST'  # before any hook that draws random numbers at the start of an epoch

    def before_run(self, runner: Runner) -> None:
        """Remember the seed of the training loader, before a checkpoint changes it."""
        self._built_with = runner.seed

    def before_train(self, runner: Runner) -> None:
        """Give the sampler the checkpoint's seed, and warn where this hook cannot work.

        If the config has no seed, MMEngine draws one, builds the loader, and only then reads the
        checkpoint's seed.
        """
        loader = runner.train_dataloader
        sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
        if getattr(sampler, 'seed', None) == self._built_with != runner.seed:
            sampler.seed = runner.seed
        if isinstance(runner.train_loop, IterBasedTrainLoop):
            reason = 'an iteration-based loop starts its data loader before any hook'
        elif loader.persistent_workers:
            reason = 'persistent_workers=True keeps workers, and their random state, over epochs'
        else:
            return
        runner.logger.warning(f'EpochSeedHook: a resumed run may differ, because {reason}')

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this epoch."""
        entropy = np.random.SeedSequence((runner.seed, runner.epoch, runner.rank))
        set_random_seed(int(entropy.generate_state(1)[0]))
