"""Load a file of PyTorch: only if it is one, only if it is whole, and only plain data."""

import os
import pickle
import re
import zipfile
from collections.abc import Callable
from contextlib import ExitStack
from os import PathLike
from pathlib import Path
from typing import Any, BinaryIO

import torch

from mmkd.storage.file_kinds import describe

UNSAFE = 'TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD'
SAFE = 'TORCH_FORCE_WEIGHTS_ONLY_LOAD'
# What PyTorch's safe loader, or a function that mmkd allows, says about a forbidden object.
REFUSED = re.compile(r'GLOBAL (\S*\w)\s|refused: (.*)|((?:Can only|Trying to call) .*)')


class BrokenCheckpointError(ValueError):
    """The file is damaged, or no checkpoint at all."""


class UnsafeCheckpointError(ValueError, pickle.UnpicklingError):
    """The file holds objects that could run code."""


def safe_load(
    source: str | PathLike[str] | BinaryIO,
    map_location: str | torch.device | Callable | None = None,
    **_: Any,
) -> Any:
    """``torch.load`` that never runs code and that notices damage.

    PyTorch does not compare the checksums (CRC-32) of its archives, so it loads flipped bits. This
    function compares them first. Files of PyTorch before 1.6 have none.

    Args:
        source: Path or binary file.
        map_location: As in :func:`torch.load`. Other arguments of that function have no effect.

    Raises:
        FileNotFoundError: If there is no such file.
        BrokenCheckpointError: If the file is truncated, damaged or no checkpoint. Names what it is.
        UnsafeCheckpointError: If it holds more than tensors and a training log. The environment
            variable ``TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD`` does not change that.
    """
    with ExitStack() as stack:
        if isinstance(source, str | PathLike):
            name = str(source)
            file: BinaryIO = stack.enter_context(open(existing_file(source), 'rb'))
        else:
            name, file = str(getattr(source, 'name', 'a file in memory')), source
        size = file.seek(0, os.SEEK_END)
        name = f'{name} ({size} bytes)'
        kind = describe(file)
        if kind is not None:
            raise BrokenCheckpointError(f'checkpoint: cannot read {name}: it is {kind}')
        _verify_sums(file, name)
        return _load(file, name, map_location)


def existing_file(path: str | PathLike[str]) -> Path:
    """Return ``path`` with ``~`` expanded.

    Raises:
        FileNotFoundError: If it is no file. Names the checkpoints in a folder.
    """
    local = Path(path).expanduser()
    if local.is_dir():
        inside = sorted(file.name for file in local.glob('*.pth'))
        remedy = f'give one of {inside[:5]}' if inside else 'it has no .pth file'
        raise FileNotFoundError(f'checkpoint: expected a file, got the folder {path}; {remedy}')
    if not local.is_file():
        raise FileNotFoundError(f'checkpoint: no such file: {path}')
    return local


def _verify_sums(file: BinaryIO, name: str) -> None:
    """Compare the checksums of an archive. Archives saved without sums (all zero) pass."""
    if file.read(4) != b'PK\x03\x04':
        file.seek(0)
        return
    try:
        with zipfile.ZipFile(file) as archive:
            saved = any(part.CRC for part in archive.infolist())
            bad = archive.testzip() if saved else None
    except OSError:
        raise
    except Exception as error:  # a damaged header fails in any way
        raise BrokenCheckpointError(
            f'checkpoint: cannot read {name}: it is truncated or damaged: {error}'
        ) from error
    if bad is not None:
        raise BrokenCheckpointError(
            f'checkpoint: cannot read {name}: it is damaged, the checksum (CRC-32) of {bad} does '
            'not match; copy or download it again'
        )
    file.seek(0)


def _load(file: BinaryIO, name: str, map_location: Any) -> Any:
    switched = os.environ.get(UNSAFE)
    try:
        return torch.load(file, map_location=map_location, weights_only=True)
    except pickle.UnpicklingError as error:
        refused = REFUSED.search(str(error))
        if refused is None:
            raise _broken(name, error) from error
        what = refused[refused.lastindex or 0]
        note = f'. {UNSAFE}={switched} does not change that' if switched else ''
        raise UnsafeCheckpointError(
            f'checkpoint: refused {name}: it holds more than weights and a training log '
            f'({what}), which could run code. If it is a whole model, save its `state_dict()` '
            f'instead{note}'
        ) from None
    except (OSError, MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:  # a file that is no checkpoint fails in any way
        if switched and SAFE in str(error):
            raise ValueError(f'{SAFE}, {UNSAFE}: set at most one of them') from error
        raise _broken(name, error) from error


def _broken(name: str, error: Exception) -> BrokenCheckpointError:
    cause = str(error).partition('WeightsUnpickler error: ')[2].strip() or str(error)
    return BrokenCheckpointError(
        f'checkpoint: cannot read {name}: it is truncated, or not a PyTorch checkpoint: '
        f'{cause.splitlines()[0] if cause else error!r}'
    )
