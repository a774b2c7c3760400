"""Make a run that resumes equal to an uninterrupted run."""

import random
from typing import Any

import numpy as np
import torch
from mmengine.dist import all_gather_object
from mmengine.hooks import Hook
from mmengine.optim import OptimWrapperDict
from mmengine.registry import FUNCTIONS
from mmengine.runner import IterBasedTrainLoop, Runner, set_random_seed
from torch import nn

from mmkd.models.model_wrapper import unwrap_model
from mmkd.registry import HOOKS
from mmkd.storage.random_state import (
    RandomState,
    random_state,
    restore_random_state,
    seeded_generator,
)

_STATES = 'process_states'
_NUMERIC = (ArithmeticError, RuntimeError)  # a tensor or a number that does not fit


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
    """Make random numbers depend on the seed and the step alone, so a resumed run repeats them.

    The hook seeds Python, NumPy and torch before each training epoch from (seed, epoch, rank).
    Each checkpoint holds their state in all processes, and the gradients if it is saved in the
    middle of a gradient accumulation. With this hook and deterministic kernels
    (``randomness=dict(deterministic=True)``), a run that resumes from any of its checkpoints ends
    with exactly the parameters of an uninterrupted run, for any ``num_workers``. In the middle of
    an epoch, the loop first reads the batches that the checkpoint has seen, and drops them.
    Validation does not change the random state. The seed is ``runner.seed``. MMEngine stores it in
    the checkpoint, even if the config sets none.

    Also give the training loader ``worker_init_fn=dict(type='mmkd_epoch_worker_init')`` (see
    :func:`seed_epoch_worker`). The hook cannot seed workers that live through all epochs
    (``persistent_workers=True``). It warns about them. With several processes, checkpoints hold the
    state of all of them only if :class:`~mmkd.hooks.AtomicCheckpointHook` saves them.

    Raises:
        ValueError: If an iteration-based loop resumes with another seed than it began with: its
            data loader starts before the checkpoint is read. If a checkpoint from the middle of a
            gradient accumulation lacks the gradients of some processes.

    Example:
        >>> default_hooks = dict(epoch_seed=dict(type='mmkd.EpochSeedHook'))
        >>> worker_init_fn = dict(type='mmkd_epoch_worker_init')
    """

    priority = 'HIGHEST'  # before any hook that draws random numbers at the start of an epoch

    def __init__(self) -> None:
        self._resumed: list[dict[str, Any]] = []  # states of the processes, from a checkpoint
        self._collected: list[dict[str, Any]] = []  # the same, for the next checkpoint
        self._before_val: RandomState | None = None

    def before_run(self, runner: Runner) -> None:
        """Remember the seed of the training loader, before a checkpoint changes it."""
        self._built_with = runner.seed

    def after_load_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Keep the states of the processes."""
        states = checkpoint.get(_STATES, []) if runner._resume else []
        if not isinstance(states, list) or not all(isinstance(each, dict) for each in states):
            raise ValueError(f'resume: {_STATES}: expected a list of dicts in the checkpoint')
        self._resumed = states

    def before_train(self, runner: Runner) -> None:
        """Continue as the checkpoint ended, and warn where this hook cannot work."""
        loop = runner.train_loop
        if self._built_with != runner.seed:
            self._use_seed_of_checkpoint(runner)
        if isinstance(loop, IterBasedTrainLoop):
            # Workers of later passes over a finite data set are seeded from a generator that the
            # model does not draw from.
            loop.dataloader.generator = seeded_generator(runner.seed, 0, runner.rank)
        elif loop.dataloader.persistent_workers:
            runner.logger.warning(
                'EpochSeedHook: a resumed run may differ, because persistent_workers=True keeps '
                'workers, and their random state, over epochs; set '
                'train_dataloader.persistent_workers=False'
            )
        self._restore(runner)

    def after_trained_batches(self, runner: Runner) -> None:
        """Continue as the checkpoint ended, after its batches were read again and dropped."""
        if len(self._resumed) == runner.world_size:
            restore_random_state(self._resumed[runner.rank]['random'])
        else:
            runner.logger.warning(
                'EpochSeedHook: the resumed run may differ, because the checkpoint holds the '
                f'random state of {len(self._resumed)} processes, not of {runner.world_size}'
            )

    def before_train_epoch(self, runner: Runner) -> None:
        """Seed this epoch."""
        entropy = np.random.SeedSequence((runner.seed, runner.epoch, runner.rank))
        set_random_seed(int(entropy.generate_state(1)[0]))

    def before_val(self, runner: Runner) -> None:
        """Keep the random state of the training."""
        self._before_val = random_state()

    def after_val(self, runner: Runner) -> None:
        """Restore the random state of the training."""
        if self._before_val is not None:
            restore_random_state(self._before_val)
            self._before_val = None

    def collect_for_checkpoint(self, runner: Runner) -> None:
        """Collect the states of all processes. Each process calls it before a checkpoint."""
        self._collected = all_gather_object(self._state(runner))

    def before_save_checkpoint(self, runner: Runner, checkpoint: dict) -> None:
        """Save the states, unless the checkpoint is not for resuming."""
        if 'optimizer' in checkpoint:
            checkpoint[_STATES] = self._collected or [self._state(runner)]
            self._collected = []

    def _use_seed_of_checkpoint(self, runner: Runner) -> None:
        """Give the samplers the checkpoint's seed.

        If the config has no seed, MMEngine draws one, builds the loader, and only then reads the
        checkpoint's seed.
        """
        if isinstance(runner.train_loop, IterBasedTrainLoop) and runner.iter > 0:
            raise ValueError(
                f'randomness.seed: expected {runner.seed}, the seed of the resumed run, because an '
                'iteration-based loop starts its data loader before it reads the checkpoint, got '
                f'{self._built_with}; pass --cfg-options randomness.seed={runner.seed}'
            )
        unlabeled = getattr(runner.train_loop, 'unlabeled_dataloader', runner.train_dataloader)
        for loader in (runner.train_dataloader, unlabeled):
            sampler = getattr(loader.batch_sampler, 'sampler', loader.sampler)
            for owner in (sampler, loader.batch_sampler):
                if getattr(owner, 'seed', None) == self._built_with:
                    owner.seed = runner.seed

    def _state(self, runner: Runner) -> dict[str, Any]:
        """Return the random state of this process, and gradients that wait for their step."""
        state: dict[str, Any] = dict(random=self._before_val or random_state())
        if _accumulates(runner.optim_wrapper):
            state['gradients'] = {
                name: parameter.grad.cpu()
                for name, parameter in unwrap_model(runner.model).named_parameters()
                if parameter.grad is not None
            }
        return state

    def _restore(self, runner: Runner) -> None:
        if len(self._resumed) == runner.world_size:
            try:
                _continue(unwrap_model(runner.model), self._resumed[runner.rank])
            except (LookupError, AttributeError, TypeError, ValueError, *_NUMERIC) as error:
                raise ValueError(
                    f'resume: {_STATES}: expected the random states and gradients of this model in '
                    f'the checkpoint, got others ({type(error).__name__}: {error})'
                ) from error
        elif any('gradients' in state for state in self._resumed):
            raise ValueError(
                'resume: the checkpoint was saved in the middle of a gradient accumulation by '
                f'{len(self._resumed)} processes, but this run has {runner.world_size}; resume '
                f'with {len(self._resumed)} processes, or from a checkpoint after a whole '
                'accumulation'
            )


def _continue(model: nn.Module, state: dict[str, Any]) -> None:
    restore_random_state(state['random'])
    parameters = dict(model.named_parameters())
    for name, gradient in state.pop('gradients', {}).items():
        parameters[name].grad = gradient.to(parameters[name])


def _accumulates(optim_wrapper: Any) -> bool:
    """Whether gradients of earlier iterations wait for the next step of the optimizer."""
    nested = isinstance(optim_wrapper, OptimWrapperDict)
    wrappers = optim_wrapper.values() if nested else [optim_wrapper]
    return any(
        wrapper.inner_count % wrapper._accumulative_counts and not wrapper.should_update()
        for wrapper in wrappers
    )
