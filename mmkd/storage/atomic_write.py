"""Files that are either whole or absent."""

import io
import os
import re
import shutil
from pathlib import Path
from typing import Any

import torch

_SUFFIX = '.tmp'
# Files of a run: checkpoints, the pointer to the last, the list of evaluations.
_OF_A_RUN = re.compile(
    r'((epoch|iter)_\d+\.pth|best_.+\.pth|student\.pth|last_checkpoint|evaluations\.json)'
)


def write_atomically(data: bytes, path: str | Path) -> None:
    """Write ``data`` to a temporary file beside ``path``, flush it to disk, then rename it.

    Args:
        data: The whole content.
        path: The target. Missing parent directories are created.

    Raises:
        OSError: With the original ``errno`` (``ENOSPC`` on a full disk), the file, the bytes
            needed and the bytes free. The temporary file is gone and an older ``path`` is intact.
    """
    path = Path(path)
    # The name is fixed, so the next attempt overwrites what a killed run leaves behind.
    temporary = path.with_name(path.name + _SUFFIX)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        if temporary.is_symlink():  # its target is no file of this run
            temporary.unlink()
        with open(temporary, 'wb') as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
        _fsync_directory(path.parent)
    except BaseException as error:
        temporary.unlink(missing_ok=True)
        if isinstance(error, OSError):
            raise _explain(error, path, len(data)) from error
        raise


def save_atomically(content: Any, path: str | Path) -> None:
    """``torch.save`` through :func:`write_atomically`."""
    buffer = io.BytesIO()
    torch.save(content, buffer)
    write_atomically(buffer.getvalue(), path)


def remove_leftovers(work_dir: str | Path) -> list[Path]:
    """Remove and return the temporary files that a killed run left in its work directory.

    Only names that :func:`write_atomically` gives to files of a run are removed. Hold the lock of
    the folder, because another process may be writing them.
    """
    files = [
        path
        for path in Path(work_dir).glob(f'*{_SUFFIX}')
        if path.is_file() and _OF_A_RUN.fullmatch(path.name.removesuffix(_SUFFIX))
    ]
    for path in files:
        path.unlink(missing_ok=True)
    return files


def _fsync_directory(directory: Path) -> None:
    """Make a rename survive a power cut (only POSIX needs this)."""
    if os.name != 'posix':
        return
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _explain(error: OSError, path: Path, size: int) -> OSError:
    """Return the same error with the file, the bytes it needs and the bytes free."""
    try:
        free = f'{shutil.disk_usage(path.parent).free} bytes free'
    except OSError:
        free = 'free space unknown'
    message = (
        f'{error.strerror or error}: {path.name} needs {size} bytes ({free}); '
        'nothing was replaced or removed'
    )
    return OSError(error.errno, message, str(path))
