"""Checkpoints that are either whole or absent."""

from collections.abc import Callable, Collection
from functools import partial
from pathlib import Path
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook

from mmkd.registry import HOOKS
from mmkd.storage.atomic_write import write_atomically

_BACKEND = 'mmkd_atomic'


@register_backend(_BACKEND)
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local storage, with :func:`write_atomically` for writing."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        write_atomically(obj, filepath)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        write_atomically(obj.encode(encoding), filepath)


class _DeferredRemovals(AtomicLocalBackend):
    """Local storage that removes files only when told that their successors are whole."""

    def __init__(self) -> None:
        self._pending: dict[str, Callable[[], None]] = {}

    def remove(self, filepath: str | Path) -> None:
        self._pending[str(filepath)] = partial(super().remove, filepath)

    def rmtree(self, dir_path: str | Path) -> None:
        self._pending[str(dir_path)] = partial(super().rmtree, dir_path)

    def commit(self, keep: Collection[str | None]) -> None:
        """Remove what was put off, except ``keep``: a path may have been written anew since."""
        pending, self._pending = self._pending, {}
        for path, remove in pending.items():
            if path not in keep:
                remove()


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against full disks and kills at any moment.

    The stock hook deletes the old checkpoint, then overwrites files in place; a full disk in
    between leaves nothing to resume from. Here each checkpoint, and ``last_checkpoint``, is written
    beside its target, flushed and renamed, and outdated ones (``max_keep_ckpts``, the previous
    best) go only after all new ones are whole, so there must be room for one more. All arguments
    are those of :class:`mmengine.hooks.CheckpointHook`. On a storage backend other than the local
    one it behaves like the stock hook, as do the extra files of ``published_keys``.

    Raises:
        OSError: When a checkpoint cannot be written: names the file, the bytes needed and free;
            every earlier file is intact.

    Example:
        >>> hook = AtomicCheckpointHook(interval=1, save_best='auto', max_keep_ckpts=1)
    """

    file_backend: Any
    _removals: _DeferredRemovals | None = None  # None: stock behavior

    def before_train(self, runner) -> None:
        """Choose the atomic backend where checkpoints go to local storage."""
        super().before_train(runner)
        if type(self.file_backend) is LocalBackend:
            self._removals = self.file_backend = _DeferredRemovals()
            self.backend_args = {'backend': _BACKEND}

    def after_train_iter(self, runner, *args, **kwargs) -> None:
        """Save by iteration, then remove what is outdated."""
        super().after_train_iter(runner, *args, **kwargs)
        self._remove_outdated()

    def after_train_epoch(self, runner) -> None:
        """Save by epoch, then remove what is outdated."""
        super().after_train_epoch(runner)
        self._remove_outdated()

    def after_val_epoch(self, runner, metrics) -> None:
        """Save the best, then remove what is outdated."""
        super().after_val_epoch(runner, metrics)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        if self._removals is not None:
            best = getattr(self, 'best_ckpt_path_dict', {}).values()
            self._removals.commit({self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best})

    def _save_checkpoint_with_step(self, runner, step: int, meta: dict) -> None:
        # Replaces the stock method only because that one truncates `last_checkpoint` in place.
        if self._removals is None:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        if self.max_keep_ckpts > 0:
            self._rotate(runner, step)
        filename = self.filename_tmpl.format(step)
        self.last_ckpt = self._removals.join_path(self.out_dir, filename)
        runner.message_hub.update_info('last_ckpt', self.last_ckpt)
        runner.save_checkpoint(
            self.out_dir,
            filename,
            save_optimizer=self.save_optimizer,
            save_param_scheduler=self.save_param_scheduler,
            meta=meta,
            by_epoch=self.by_epoch,
            backend_args=self.backend_args,
            **self.args,
        )
        if is_main_process():
            self._removals.put_text(self.last_ckpt, Path(runner.work_dir, 'last_checkpoint'))

    def _rotate(self, runner, step: int) -> None:
        """Count ``step`` among the kept checkpoints, and put off the removal of the oldest."""
        assert self._removals is not None
        kept = self.keep_ckpt_ids
        if kept and kept[-1] == step:  # saved again after validation, to record the best score
            return
        if len(kept) == self.max_keep_ckpts and is_main_process():
            oldest = self._removals.join_path(self.out_dir, self.filename_tmpl.format(kept[0]))
            if self._removals.isdir(oldest):  # DeepSpeed saves directories
                self._removals.rmtree(oldest)
            elif self._removals.isfile(oldest):
                self._removals.remove(oldest)
        kept.append(step)  # a full deque drops its oldest
        runner.message_hub.update_info('keep_ckpt_ids', list(kept))
