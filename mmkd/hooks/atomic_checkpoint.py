"""Checkpoints that are either whole or absent."""

from collections.abc import Container
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import Any

from mmengine.dist import is_main_process
from mmengine.fileio import LocalBackend, register_backend
from mmengine.hooks import CheckpointHook
from mmengine.runner import Runner

from mmkd.registry import HOOKS
from mmkd.storage.atomic_write import write_atomically


@register_backend('mmkd_atomic')
class AtomicLocalBackend(LocalBackend):
    """MMEngine's local storage, with :func:`write_atomically` for writing."""

    def put(self, obj: bytes, filepath: str | Path) -> None:
        """Write bytes."""
        write_atomically(obj, filepath)

    def put_text(self, obj: str, filepath: str | Path, encoding: str = 'utf-8') -> None:
        """Write text."""
        write_atomically(obj.encode(encoding), filepath)


class _DeferredRemovals(AtomicLocalBackend):
    """Local storage that keeps outdated files until :meth:`remove_outdated`."""

    def __init__(self) -> None:
        self._outdated: set[str] = set()

    def remove(self, filepath: str | Path) -> None:
        self._outdated.add(str(filepath))

    rmtree = remove  # DeepSpeed saves directories

    def remove_outdated(self, keep: Container[str | None]) -> None:
        """Remove outdated files, except ``keep``: a new checkpoint may have the same name."""
        for path in [path for path in self._outdated if path not in keep]:
            (super().rmtree if self.isdir(path) else super().remove)(path)
        self._outdated.clear()


@HOOKS.register_module()
class AtomicCheckpointHook(CheckpointHook):
    """MMEngine's ``CheckpointHook``, safe against full disks and kills at any moment.

    The stock hook deletes the old checkpoint, then overwrites files in place. If the disk fills up
    in between, nothing is left to resume from. This hook writes each checkpoint and
    ``last_checkpoint`` to a temporary file, flushes it and renames it. It removes outdated
    checkpoints (``max_keep_ckpts``, the previous best) only after all new ones are whole, so the
    disk needs room for one more. Arguments are those of :class:`mmengine.hooks.CheckpointHook`.
    With a remote storage backend the hook behaves like the stock hook. So do the extra files of
    ``published_keys``.

    Raises:
        OSError: If a checkpoint cannot be written. The error names the file, the bytes needed and
            the bytes free. All earlier files are intact.

    Example:
        >>> hook = AtomicCheckpointHook(interval=1, save_best='auto', max_keep_ckpts=1)
    """

    file_backend: Any
    _removals: _DeferredRemovals | None = None  # None: stock behavior

    def before_train(self, runner: Runner) -> None:
        """Choose the atomic backend if checkpoints go to local storage."""
        super().before_train(runner)
        if type(self.file_backend) in (LocalBackend, AtomicLocalBackend):
            self._removals = self.file_backend = _DeferredRemovals()
            self.backend_args = {'backend': 'mmkd_atomic'}

    def after_val_epoch(self, runner: Runner, metrics: dict[str, float]) -> None:
        """Save the best checkpoint, then remove outdated ones.

        Raises:
            ValueError: If ``save_best`` is no metric of this run.
        """
        try:
            super().after_val_epoch(runner, metrics)
        except KeyError as error:
            name = error.args[0] if error.args else None
            if name in metrics or name not in getattr(self, 'key_indicators', ()):
                raise
            raise ValueError(
                f'save_best: expected one of the metrics {[*metrics]}, got {name!r}'
            ) from error
        self._remove_outdated()

    def _save_checkpoint_with_step(self, runner: Runner, step: int, meta: dict[str, Any]) -> None:
        runner.call_hook('collect_for_checkpoint')  # in all processes; only the main one saves
        if self._removals is None:
            super()._save_checkpoint_with_step(runner, step, meta)
            return
        with TemporaryDirectory() as scratch:
            # The stock method overwrites `last_checkpoint` in place. Let it do so elsewhere.
            elsewhere = SimpleNamespace(
                work_dir=scratch,
                message_hub=runner.message_hub,
                save_checkpoint=runner.save_checkpoint,
            )
            super()._save_checkpoint_with_step(elsewhere, step, meta)
        if is_main_process():
            pointer = Path(runner.work_dir, 'last_checkpoint')
            self._removals.put_text(self.last_ckpt, pointer)
        self._remove_outdated()

    def _remove_outdated(self) -> None:
        if self._removals is not None:
            best = getattr(self, 'best_ckpt_path_dict', {}).values()
            self._removals.remove_outdated(
                {self.last_ckpt, getattr(self, 'best_ckpt_path', None), *best}
            )
