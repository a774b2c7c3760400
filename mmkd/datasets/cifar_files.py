"""Read CIFAR's official files, pickles of Python 2, without running code from them."""

import pickle
import reprlib
from pathlib import Path
from typing import Any

import numpy as np

# The numbers that an array may hold, as NumPy writes them in pickles.
_NUMBERS = ('b1', 'i1', 'i2', 'i4', 'i8', 'u1', 'u2', 'u4', 'u8', 'f2', 'f4', 'f8')
_BYTE_ORDERS = ('|', '<', '>', '=')


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
    if not (isinstance(names, list) and names and all(isinstance(n, str | bytes) for n in names)):
        raise ValueError(f'{path}: expected {key!r}, a list of names, got {reprlib.repr(names)}')
    return tuple(_text(name) for name in names)


def read_array_pickle(path: Path) -> dict[str, Any]:
    """Read a pickled dict of plain values and arrays. Its keys become text.

    All other types are refused, so an untrusted file runs no code. NumPy itself would trust what
    a file says of an array's objects, so arrays are made here, from plain numbers in flat bytes.

    Raises:
        pickle.UnpicklingError: If the file is damaged, or refers to anything but arrays.
    """
    with path.open('rb') as file:
        try:
            # Python 2 stored bytes like text. latin1 keeps the bytes of arrays.
            content = _ArrayUnpickler(file, encoding='latin1').load()
        except Exception as error:  # whatever damage it is
            raise pickle.UnpicklingError(f'{path}: {error or type(error).__name__}') from error
    if not isinstance(content, dict):
        raise pickle.UnpicklingError(f'{path}: expected a dict, got {type(content).__name__}')
    return {
        _text(key): value.values if isinstance(value, _Array) else value
        for key, value in content.items()
        if isinstance(key, str | bytes)
    }


class _Dtype:
    """A dtype of plain numbers, in place of NumPy's."""

    __slots__ = ('value',)

    def __init__(self, name: str, *_: Any) -> None:
        if name not in _NUMBERS:
            raise pickle.UnpicklingError(f'expected arrays of numbers, got dtype {name!r}')
        self.value = np.dtype(name)

    def __setstate__(self, state: tuple) -> None:
        _, order, *others = state
        if order not in _BYTE_ORDERS or others[:3] != [None, None, None]:
            raise pickle.UnpicklingError('expected arrays of plain numbers, got a structured dtype')
        self.value = self.value.newbyteorder(order)


class _Array:
    """An array that is made from flat bytes, in place of NumPy's."""

    __slots__ = ('values',)

    def __init__(self, *_: Any) -> None:
        self.values = np.empty(0)

    def __setstate__(self, state: tuple) -> None:
        _, shape, dtype, is_fortran, data = state
        if not isinstance(dtype, _Dtype) or not isinstance(data, bytes | str):
            raise pickle.UnpicklingError('expected an array of numbers in flat bytes')
        flat = np.frombuffer(data.encode('latin1') if isinstance(data, str) else data, dtype.value)
        if not all(type(side) is int and side >= 0 for side in shape):
            raise pickle.UnpicklingError(f'expected the shape of an array, got {shape!r}')
        self.values = flat.reshape(shape, order='F' if is_fortran else 'C')


_ALLOWED = {
    ('numpy.core.multiarray', '_reconstruct'): _Array,
    ('numpy._core.multiarray', '_reconstruct'): _Array,
    ('numpy', 'ndarray'): _Array,
    ('numpy', 'dtype'): _Dtype,
}


class _ArrayUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _ALLOWED[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f'expected only plain values and NumPy arrays, got {module}.{name}'
            ) from None


def _text(value: str | bytes) -> str:
    return value.decode(errors='replace') if isinstance(value, bytes) else value
