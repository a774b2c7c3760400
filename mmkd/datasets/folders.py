"""Where a user unpacked a data set."""

from collections.abc import Iterable
from pathlib import Path


def unpacked_folder(root: Path, subfolder: str, files: Iterable[str]) -> Path | None:
    """The folder that holds all ``files``: ``subfolder`` of ``root``, or ``root`` itself.

    Returns:
        The folder; None if neither holds them all.
    """
    files = list(files)
    for folder in (root / subfolder, root):
        if all((folder / name).is_file() for name in files):
            return folder
    return None
