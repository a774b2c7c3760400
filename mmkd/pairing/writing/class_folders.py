"""Classification data as a folder for each class."""

import os
from collections import Counter
from pathlib import Path

# Those that MMPretrain's CustomDataset reads.
EXTENSIONS = ('.jpg', '.jpeg', '.png', '.ppm', '.bmp', '.pgm', '.tif')


def class_folders(name: str, root: Path) -> list[str]:
    """Return the names of the classes: those of the folders, sorted.

    Args:
        name: What the folder is, for errors.
        root: The folder with a folder for each class.

    Raises:
        FileNotFoundError: If there is no such folder.
        ValueError: If there are fewer than two classes, a folder is hidden, or one has no images.
    """
    if not root.is_dir():
        raise FileNotFoundError(f'{name}: no such folder: {root}')
    classes = sorted(path.name for path in root.iterdir() if path.is_dir())
    if hidden := [each for each in classes if each.startswith(('.', '__'))]:
        raise ValueError(
            f'{name}: expected a folder for each class in {root}, but {hidden} would become a '
            'class; remove it'
        )
    if len(classes) < 2:
        raise ValueError(
            f'{name}: expected a folder for each of at least two classes in {root}, got {classes}'
        )
    for each in classes:
        kinds = Counter(path.suffix.lower() for path in _files(root / each))
        if not set(kinds) & set(EXTENSIONS):
            raise ValueError(
                f'{name}: expected images ({", ".join(EXTENSIONS)}) in {root / each}, got '
                f'{dict(kinds) or "no file"}; remove the folder if it is no class'
            )
    return classes


def image_files(root: Path, classes: list[str]) -> list[tuple[str, int]]:
    """Return the images below a folder of classes with their labels."""
    return [
        (str(path.relative_to(root)), label)
        for label, each in enumerate(classes)
        for path in _files(root / each)
        if path.suffix.lower() in EXTENSIONS
    ]


def left_out(root: Path, classes: list[str]) -> str:
    """Return which files MMPretrain leaves out; empty if there are none."""
    kinds = Counter(
        path.suffix.lower() or path.name
        for each in classes
        for path in _files(root / each)
        if path.suffix.lower() not in EXTENSIONS
    )
    counts = ', '.join(f'{count} {kind}' for kind, count in kinds.most_common(5))
    return f'left out, as MMPretrain does not read them: {counts}' if kinds else ''


def _files(folder: Path) -> list[Path]:
    """All files below a folder, sorted, without hidden ones, which MMPretrain never reads."""
    return sorted(
        Path(parent) / file
        for parent, _, files in os.walk(folder, followlinks=True)
        for file in files
        if not file.startswith('.')
    )
