"""Read CIFAR's official files, pickles of Python 2, without running code from them."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np

# The parts of a pickled array. NumPy moved its reconstruction function between versions, so take it
# from an array.
_RECONSTRUCT = np.empty(0).__reduce__()[0]
_ALLOWED = {
    ('numpy.core.multiarray', '_reconstruct'): _RECONSTRUCT,
    ('numpy._core.multiarray', '_reconstruct'): _RECONSTRUCT,
    ('numpy', 'ndarray'): np.ndarray,
    ('numpy', 'dtype'): np.dtype,
}
# The errors of unpickling other or truncated files.
_DAMAGE = (pickle.UnpicklingError, AttributeError, EOFError, LookupError, TypeError, ValueError)


def read_cifar_batch(path: Path, label_key: str) -> tuple[np.ndarray, np.ndarray]:
    """Read images and labels from one of CIFAR's official files.

    Args:
        path: The file, such as ``cifar-100-python/train``.
        label_key: Which labels to read: ``'labels'`` or ``'fine_labels'``.

    Returns:
        uint8 RGB images of shape ``(N, 3, 32, 32)`` and int64 labels of shape ``(N,)``.

    Raises:
        pickle.UnpicklingError: If the file is damaged, or refers to anything but arrays.
        ValueError: If the file has other content.
    """
    content = read_array_pickle(path)
    images, labels = np.asarray(content.get('data')), np.asarray(content.get(label_key))
    if images.dtype != np.uint8 or images.shape[1:] != (3 * 32 * 32,):
        raise ValueError(
            f"{path}: expected 'data' of uint8 and shape (N, 3072), got {images.dtype} of shape "
            f'{images.shape}'
        )
    if labels.dtype.kind not in 'iu' or labels.shape != images.shape[:1]:
        raise ValueError(
            f'{path}: expected {label_key!r} of {len(images)} integers, got {labels.dtype} of '
            f'shape {labels.shape}'
        )
    return images.reshape(-1, 3, 32, 32), labels.astype(np.int64)


def read_cifar_classes(path: Path, key: str) -> tuple[str, ...]:
    """Read the names of the classes.

    Args:
        path: CIFAR's ``meta`` or ``batches.meta``.
        key: Which names to read: ``'label_names'`` or ``'fine_label_names'``.

    Raises:
        pickle.UnpicklingError: If the file is damaged, or refers to anything but arrays.
        ValueError: If the file has no such names.
    """
    names = read_array_pickle(path).get(key)
    if not names:
        raise ValueError(f'{path}: expected {key!r}, a list of names, got {names!r}')
    return tuple(_text(name) for name in names)


def read_array_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dict of plain values and arrays. Its keys become text.

    All other types are refused, so an untrusted file runs no code.

    Raises:
        pickle.UnpicklingError: If the file is damaged, or refers to anything but arrays.
    """
    with path.open('rb') as file:
        try:
            # Python 2 stored bytes like text. latin1 keeps the bytes of arrays.
            content = _ArrayUnpickler(file, encoding='latin1').load()
        except _DAMAGE as error:
            raise pickle.UnpicklingError(f'{path}: {error}') from error
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f'{path}: expected a dict, got {type(content).__name__}')
    return {_text(key): value for key, value in content.items()}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f'expected only plain values and NumPy arrays, got {module}.{name}'
            ) from None


def _text(value: Any) -> str:
    return value.decode() if isinstance(value, bytes) else str(value)
