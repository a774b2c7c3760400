"""Make a run resumed after an epoch equal one that was never interrupted."""

import random

import numpy as np
import torch
from mmengine.hooks import Hook
from mmengine.registry import FUNCTIONS
from mmengine.runner import IterBasedTrainLoop

from mmkd.registry import HOOKS


@FUNCTIONS.register_module('mmkd_epoch_worker_init')
def seed_epoch_worker(worker_id: int) -> None:
    """Seed a data-loading worker anew each epoch (``worker_init_fn`` of a data loader).

    MMEngine's default gives worker ``k`` the same seed in every epoch, so each epoch repeats the
    random numbers, hence much of the augmentation, of the first. PyTorch has already seeded the
    worker's own generator from the main process, differently for each worker and epoch; Python's
    and NumPy's follow it here.

    Args:
        worker_id: Given by the data loader; its part in the seed is PyTorch's.
    """
    seed = torch.initial_seed()
    random.seed(seed)
    np.random.seed(np.random.SeedSequence(seed).generate_state(4))


def _seed_everything(*entropy: int) -> None:
    """Seed Python, NumPy and torch (CPU and all GPUs) from several numbers."""
    seed = int(np.random.SeedSequence(entropy).generate_state(1)[0])
    random.seed(seed)
    np.random.seed(seed)
    torch.manual_seed(seed)


@HOOKS.register_module()
class EpochSeedHook(Hook):
    """Reseed Python, NumPy and torch before each training epoch from (seed, epoch, rank).

    A checkpoint holds weights, optimizer and log but no random state, so without this a resumed
    run draws other augmentations and dropout masks. With it, and on deterministic kernels
    (``randomness=dict(deterministic=True)``), resuming from an epoch's checkpoint gives the very
    parameters of an uninterrupted run, for any ``num_workers``. The seed is ``runner.seed``, which
    MMEngine stores in the checkpoint even when the config sets none.

    Give the training loader ``worker_init_fn=dict(type='mmkd_epoch_worker_init')`` as well
    (:func:`seed_epoch_worker`), or MMEngine repeats each worker's random numbers every epoch.
    Workers that live through all epochs (``persistent_workers=True``) and iteration-based loops
    cannot be reseeded; both get a warning.

    Example:
        >>> custom_hooks = [dict(type='mmkd.EpochSeedHook')]
        >>> worker_init_fn = dict(type='mmkd_epoch_worker_init')
    """

    priority = 'HIGHEST'  # before any hook that draws random numbers at the start of an epoch

    def before_run(self, runner) -> None:
        """Remember the seed the training loader was built with, before a checkpoint changes it."""
        self._built_with = runner.seed

    def before_train(self, runner) -> None:
        """Let the sampler follow a seed that came from the checkpoint; warn where this hook fails.

        Without a seed in the config MMEngine draws one, builds the loader, and only then takes the
        checkpoint's.
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

    def before_train_epoch(self, runner) -> None:
        """Reseed."""
        _seed_everything(runner.seed, runner.epoch, runner.rank)
