"""Downloads of checkpoints: checked against the hash in their names, and never kept broken."""

import hashlib
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import urlparse

import torch
from mmengine.logging import print_log

from mmkd.storage.safe_load import BrokenCheckpointError, safe_load

# `-047c8118.pth` is the start of the file's SHA-256; `-20240131.pth` is a date.
HASH = re.compile(r'-(?!20\d{6}\.)([0-9a-f]{8,64})\.[a-z]+$')


def load_url(
    url: str,
    model_dir: str | None = None,
    map_location: Any = None,
    progress: bool = True,
    check_hash: bool = True,
    file_name: str | None = None,
    weights_only: bool = True,
) -> Any:
    """``torch.hub.load_state_dict_from_url`` that loads safely and keeps no broken file.

    A cached file whose hash does not match its name is downloaded again, once. A file that is still
    wrong, truncated or no checkpoint is removed, so the next try downloads it again.

    Args:
        url: Where the file is.
        model_dir: Folder for downloads. Default: that of :mod:`torch.hub`.
        map_location: As in :func:`torch.load`.
        progress: Show a progress bar.
        check_hash: No effect: a hash in the name is always checked.
        file_name: Name in ``model_dir``. Default: that of the URL.
        weights_only: No effect: code in the file never runs.

    Raises:
        OSError: If the file cannot be fetched.
        ValueError: If its hash does not match, or see :func:`safe_load`.
    """
    folder = Path(model_dir or os.path.join(torch.hub.get_dir(), 'checkpoints'))
    name = file_name or os.path.basename(urlparse(url).path)
    if not name:
        raise ValueError(f'checkpoint: expected the URL of a file, got {url}')
    file = folder / name
    if file.exists() and not _has_its_hash(file):
        print_log(f'{file}: its hash is not the one in its name; downloading again', 'current')
        file.unlink()
    if not file.exists():
        _download(url, file, progress)
    try:
        return _load(file, url, map_location)
    except BrokenCheckpointError as error:
        file.unlink()
        raise BrokenCheckpointError(
            f'{error} (downloaded from {url}; removed from the cache, so the next try downloads '
            'it again)'
        ) from error


def _download(url: str, file: Path, progress: bool) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    print_log(f'Downloading {url} to {file}', 'current')
    torch.hub.download_url_to_file(url, str(file), progress=progress)
    if not _has_its_hash(file):
        size = file.stat().st_size
        file.unlink()
        raise BrokenCheckpointError(
            f'checkpoint: {url} does not have the hash in its name ({size} bytes received); the '
            'download was cut short or the file was changed. It is not kept. If you trust the '
            'file, download it yourself and give its path'
        )


def _has_its_hash(file: Path) -> bool:
    """Whether the file has the hash in its name, or no hash in its name."""
    named = HASH.search(file.name)
    if named is None:
        return True
    digest = hashlib.sha256()
    with open(file, 'rb') as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest().startswith(named[1])


def _load(file: Path, url: str, map_location: Any) -> Any:
    if not torch.hub._is_legacy_zip_format(str(file)):  # one file of PyTorch < 1.6 in a zip
        return safe_load(file, map_location)
    return torch.hub.load_state_dict_from_url(
        url, str(file.parent), map_location, file_name=file.name, weights_only=True
    )
