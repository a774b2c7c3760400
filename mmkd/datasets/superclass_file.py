"""File of the superclass of each sample of a data set, which recognizes that data set."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def encode_superclasses(superclasses: NDArray[np.integer], labels: NDArray[np.integer]) -> bytes:
    """Content of the file, a ``.npz``.

    Args:
        superclasses: Superclass of each sample, shape (N,).
        labels: Label of each sample, shape (N,), in the same order.

    Raises:
        ValueError: If the shapes differ from these.
    """
    if labels.ndim != 1 or superclasses.shape != labels.shape:
        raise ValueError(
            f'superclasses: expected the shape of the labels, (N,) = {labels.shape}, '
            f'got {superclasses.shape}'
        )
    buffer = io.BytesIO()
    fingerprint = np.frombuffer(_fingerprint(labels), np.uint8)
    np.savez(buffer, superclasses=superclasses.astype(np.int32), fingerprint=fingerprint)
    return buffer.getvalue()


def read_superclasses(
    path: str | os.PathLike[str], labels: NDArray[np.integer]
) -> NDArray[np.integer]:
    """Superclass of each sample, shape (N,).

    Args:
        path: A file with :func:`encode_superclasses`'s content.
        labels: Label of each sample of the data set in use, shape (N,).

    Raises:
        FileNotFoundError: If there is no such file.
        ValueError: If it is no such file, or that of another data set.
    """
    try:
        content = np.load(io.BytesIO(Path(path).read_bytes()), allow_pickle=False)
        superclasses, fingerprint = content['superclasses'], content['fingerprint']
    except (EOFError, IndexError, KeyError, ValueError, zipfile.BadZipFile) as error:
        raise ValueError(
            f'superclasses: expected a file of tools/superclasses.py, got {path}: {error}'
        ) from error
    if len(superclasses) != len(labels):
        raise ValueError(
            f'superclasses: expected those of the {len(labels)} samples of this data set, '
            f'{path} has those of {len(superclasses)}; is it a file of another data set?'
        )
    if fingerprint.tobytes() != _fingerprint(labels):
        raise ValueError(
            f'superclasses: the labels of this data set are not those that {path} was made for; '
            'it is a file of another data set, or of another order of its samples'
        )
    return superclasses


def _fingerprint(labels: NDArray[np.integer]) -> bytes:
    return hashlib.sha256(labels.astype('<i8').tobytes()).digest()
