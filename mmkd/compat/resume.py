"""Training and resuming with MMEngine: one run a folder, its own files, no batch twice.

MMEngine 0.10 lets two runs write into one folder, follows the absolute path in ``last_checkpoint``
to another folder, and starts the epoch again if a checkpoint was saved inside it.
"""

import functools
from collections.abc import Iterator
from itertools import islice, repeat
from types import ModuleType
from typing import TYPE_CHECKING, Any

from mmkd.compat.import_hooks import after_import, rebind

if TYPE_CHECKING:
    from mmengine.runner import EpochBasedTrainLoop, Runner

# In the message hub, which every checkpoint holds: where its epoch began, and on which data.
_BEGIN = 'epoch_begin'
_DATA = 'train_data'


def _find_in_own_folder(checkpoint: ModuleType) -> None:
    from mmkd.storage.latest_checkpoint import latest_checkpoint

    def find_latest_checkpoint(path: str) -> str | None:
        return latest_checkpoint(path)

    rebind(checkpoint, 'find_latest_checkpoint', find_latest_checkpoint)


def _patch_runner(runner: ModuleType) -> None:
    cls = runner.Runner
    train, load_or_resume = cls.train, cls.load_or_resume

    @functools.wraps(train)
    def train_alone(self: 'Runner') -> Any:
        from mmengine.dist import is_main_process

        from mmkd.storage.atomic_write import remove_leftovers
        from mmkd.storage.work_dir_lock import lock_work_dir

        with lock_work_dir(self.work_dir):
            for path in remove_leftovers(self.work_dir) if is_main_process() else ():
                self.logger.info(f'Removed {path}, which a killed run left behind')
            return train(self)

    @functools.wraps(load_or_resume)
    def load_or_resume_inside_an_epoch(self: 'Runner') -> None:
        has_loaded = self._has_loaded
        load_or_resume(self)
        if self._resume and self._has_loaded and not has_loaded:
            _count_trained_batches(self)
        if isinstance(self._train_loop, runner.BaseLoop):  # not in a test
            self.message_hub.update_info(_DATA, _data(self._train_loop))

    cls.train = train_alone
    cls.load_or_resume = load_or_resume_inside_an_epoch


def _count_trained_batches(runner: 'Runner') -> None:
    """Tell the training loop how many batches of its epoch the checkpoint has seen."""
    from mmengine.runner import EpochBasedTrainLoop, IterBasedTrainLoop

    loop: Any = runner._train_loop
    if isinstance(loop, IterBasedTrainLoop) and loop.iter > 0:
        # The loop itself skips this many. A finished run reads none of them.
        is_finished = loop.iter >= loop.max_iters
        batches = repeat(None) if is_finished else loop.dataloader_iterator
        changes = _changes(runner, loop)
        if changes and not is_finished:
            runner.logger.warning(
                f'resume: the data changed ({changes}): the first {loop.iter} of the batches of '
                'now are skipped, which are not those that the checkpoint has seen'
            )
        loop.dataloader_iterator = _announced(runner, batches, loop.iter)
    elif isinstance(loop, EpochBasedTrainLoop):
        loop.trained_batches = _trained_batches(runner, loop)


def _announced(runner: 'Runner', iterator: Iterator[Any], trained: int) -> Iterator[Any]:
    yield from islice(iterator, trained)
    runner.call_hook('after_trained_batches')
    yield from iterator


def _trained_batches(runner: 'Runner', loop: 'EpochBasedTrainLoop') -> int:
    length = len(loop.dataloader)
    begin = runner.message_hub.runtime_info.get(_BEGIN)
    if not isinstance(begin, dict):
        if loop.iter != loop.epoch * length:
            runner.logger.warning(
                f'The checkpoint does not say where epoch {loop.epoch + 1} begins: if it was saved '
                'inside that epoch, the epoch starts again'
            )
        return 0
    counts = [begin.get(name) for name in ('epoch', 'iter', 'batches')]
    if not all(type(count) is int and count >= 0 for count in counts) or begin['iter'] > loop.iter:
        raise ValueError(
            f'resume: expected counts of epoch, iter and batches as message_hub.runtime_info.'
            f'{_BEGIN}, at iteration {loop.iter}, got {begin}'
        )
    if loop.epoch != begin['epoch'] or loop.iter == begin['iter']:
        return 0  # saved after the epoch, or before its first batch
    trained, changes = loop.iter - begin['iter'], _changes(runner, loop)
    if begin['batches'] != length:
        changes = f'batches: {begin["batches"]}, now {length}'
    if changes:
        raise ValueError(
            f'resume: the checkpoint was saved after batch {trained} of {begin["batches"]} of '
            f'epoch {loop.epoch + 1}, but the data changed since ({changes}); resume with the '
            'data, batch size and number of processes of that run, or from a checkpoint that was '
            'saved at the end of an epoch'
        )
    return trained


def _data(loop: Any) -> dict[str, int]:
    """Say what decides which samples are in which batch of which process."""
    from mmengine.dist import get_world_size

    loaders = {'': loop.dataloader, 'unlabeled ': getattr(loop, 'unlabeled_dataloader', None)}
    data = dict(processes=get_world_size())
    for name, loader in loaders.items():
        size = getattr(getattr(loader, 'batch_sampler', None), 'batch_size', None)
        if type(size) is int:
            data |= {f'{name}batch size': size, f'{name}samples': len(loader.dataset)}
    return data


def _changes(runner: 'Runner', loop: Any) -> str:
    """Say how the data differ from those of the checkpoint; nothing if it does not tell."""
    old, now = runner.message_hub.runtime_info.get(_DATA), _data(loop)
    if not isinstance(old, dict):
        return ''
    changed = [name for name in now if old.get(name, now[name]) != now[name]]
    return ', '.join(f'{name}: {old[name]}, now {now[name]}' for name in changed)


def _run_rest_of_epoch(self: 'EpochBasedTrainLoop') -> None:
    """Run one epoch without the batches that a resumed checkpoint has seen."""
    trained, self.trained_batches = getattr(self, 'trained_batches', 0), 0
    self.runner.call_hook('before_train_epoch')
    begin = dict(epoch=self.epoch, iter=self.iter - trained, batches=len(self.dataloader))
    self.runner.message_hub.update_info(_BEGIN, begin)
    self.runner.model.train()
    if trained:
        self.runner.logger.info(
            f'Epoch {self.epoch + 1}: skipping the first {trained} of {len(self.dataloader)} '
            'batches, which the checkpoint has seen'
        )
    batches = iter(self.dataloader) if trained < len(self.dataloader) else iter(())
    for _ in islice(batches, trained):
        pass
    if trained:
        self.runner.call_hook('after_trained_batches')
    for idx, data_batch in enumerate(batches, trained):
        self.run_iter(idx, data_batch)

    self.runner.call_hook('after_train_epoch')
    self._epoch += 1


def _patch_loops(loops: ModuleType) -> None:
    loops.EpochBasedTrainLoop.run_epoch = _run_rest_of_epoch


def apply() -> None:
    """Patch MMEngine's runner, training loop and search for the latest checkpoint."""
    after_import('mmengine.runner.checkpoint', _find_in_own_folder)
    after_import('mmengine.runner.loops', _patch_loops)
    after_import('mmengine.runner.runner', _patch_runner)
