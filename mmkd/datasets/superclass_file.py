"""A file with the superclass of each sample, and a fingerprint of the data set's labels."""

import hashlib
import io
import os
import zipfile
from pathlib import Path

import numpy as np
from numpy.typing import NDArray


def encode_superclasses(superclasses: NDArray[np.integer], labels: NDArray[np.integer]) -> bytes:
    """Return the content of the file, a ``.npz``.

    Args:
        superclasses: Superclass of each sample, shape (N,).
        labels: Label of each sample, shape (N,), in the same order.

    Raises:
        ValueError: If a shape is different.
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
    """Read the superclass of each sample, shape (N,).

    Args:
        path: A file with the content of :func:`encode_superclasses`.
        labels: Label of each sample of the current data set, shape (N,).

    Raises:
        FileNotFoundError: If the file does not exist.
        ValueError: If the file has other content, or belongs to another data set.
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
            f'superclasses: the labels of this data set differ from those of {path}; it is the '
            'file of another data set, or of another order of the samples'
        )
    return superclasses


def _fingerprint(labels: NDArray[np.integer]) -> bytes:
    return hashlib.sha256(labels.astype('<i8').tobytes()).digest()
