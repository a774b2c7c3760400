"""Folders of unpacked data sets."""

from collections.abc import Sequence
from pathlib import Path


def unpacked_folder(root: Path, subfolder: str, files: Sequence[str]) -> Path | None:
    """Return the folder with all ``files``: ``subfolder`` of ``root``, or ``root``, or None."""
    for folder in (root / subfolder, root):
        if all((folder / name).is_file() for name in files):
            return folder
    return None


def require_folder(name: str, root: Path, subfolder: str, files: Sequence[str], url: str) -> Path:
    """Return :func:`unpacked_folder`.

    Args:
        name: Name of the data set.
        root: Where to look.
        subfolder: Folder in the archive.
        files: The files that are needed.
        url: Where the archive is.

    Raises:
        FileNotFoundError: If neither folder has all files.
    """
    folder = unpacked_folder(root, subfolder, files)
    if folder is None:
        raise FileNotFoundError(
            f"root: expected {name} in '{root}' or its folder {subfolder}, with the files "
            f'{", ".join(files)}, got neither; download and unpack {url}'
        )
    return folder
