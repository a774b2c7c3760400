"""At most one training at a time writes into a work directory."""

import errno
import os
import socket
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from mmengine.dist import broadcast_object_list, is_main_process

NAME = '.mmkd.lock'
_HELD_ELSEWHERE = (errno.EACCES, errno.EAGAIN, errno.EDEADLK)
_held: dict[str, tuple[int, int]] = {}  # process and thread that hold the lock of a folder


class WorkDirInUseError(OSError):
    """Another process trains in the work directory."""


@contextmanager
def lock_work_dir(work_dir: str | Path) -> Iterator[None]:
    """Hold the lock of a work directory: the main process takes it, all processes learn of it.

    The system releases the lock when the process ends, however it ends, so no stale lock stays.
    Where the file system has no locks, a warning says so. A second call in the same process, for
    the same thread and folder, changes nothing.

    Args:
        work_dir: The folder, in any spelling. It is created if it is missing.

    Raises:
        WorkDirInUseError: In each process, if another process group holds the lock. The error
            names the folder and the holder.
        OSError: In each process, if the folder cannot be written.
    """
    folder = os.path.realpath(work_dir)
    problem: list[OSError | None] = [None]
    descriptor = None
    here = os.getpid(), threading.get_ident()
    if is_main_process() and _held.get(folder) != here:
        try:
            descriptor = _acquire(Path(folder))
        except OSError as error:  # all processes have to learn of it
            problem = [error]
    broadcast_object_list(problem)
    if problem[0] is not None:
        raise problem[0]
    if descriptor is None:
        yield
        return
    _held[folder] = here
    try:
        yield
    finally:
        del _held[folder]
        _release(Path(folder), descriptor)


def _acquire(folder: Path) -> int:
    """Return the descriptor of the locked file."""
    holder, _ = _held.get(str(folder), (None, None))
    if holder == os.getpid():  # the system's lock does not separate threads
        raise WorkDirInUseError(_in_use(folder, 'another thread of this process'))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / NAME
    if path.is_symlink() or path.is_dir():  # a link's target would be overwritten
        raise FileExistsError(f'work_dir: expected a file at {path}, got a link or folder; move it')
    while True:
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        try:
            _lock(descriptor)
        except OSError as error:
            if error.errno in _HELD_ELSEWHERE:
                name = os.read(descriptor, 1000).decode(errors='replace').strip()
                os.close(descriptor)
                raise WorkDirInUseError(_in_use(folder, name or 'another process')) from None
            warnings.warn(
                f'work_dir: cannot lock {folder} ({error.strerror}): make sure that no second run '
                'writes there',
                stacklevel=2,
            )
        if _is_at(path, descriptor):
            break
        os.close(descriptor)  # its holder has just ended and removed it
    os.ftruncate(descriptor, 0)
    os.write(descriptor, f'process {os.getpid()} on {socket.gethostname()}\n'.encode())
    return descriptor


def _in_use(folder: Path, holder: str) -> str:
    return (
        f'work_dir: {folder} is in use by {holder}; wait until it ends, stop it, or name another '
        'folder with --work-dir'
    )


def _release(folder: Path, descriptor: int) -> None:
    # Removed before the lock goes, so nobody removes the file of the next holder.
    with suppress(OSError):  # Windows keeps open files
        (folder / NAME).unlink(missing_ok=True)
    os.close(descriptor)


def _is_at(path: Path, descriptor: int) -> bool:
    """Whether ``path`` still names the open file."""
    try:
        return os.path.samestat(os.stat(path), os.fstat(descriptor))
    except FileNotFoundError:
        return False


def _lock(descriptor: int) -> None:
    """Lock the file, or raise at once. Forked workers of a data loader do not inherit the lock."""
    try:
        import fcntl
    except ImportError:  # Windows
        import msvcrt

        msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)  # type: ignore[attr-defined]
    else:
        fcntl.lockf(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
