"""Argument checks that several rooms share."""

import math
from collections.abc import Sequence
from numbers import Real

from torch import Tensor


def check_same_shape(student: Tensor, teacher: Tensor, name: str = 'teacher') -> None:
    """Raise ValueError, naming ``name``, unless both tensors have the same shape."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"{name}: expected the student's shape {tuple(student.shape)}, "
            f'got {tuple(teacher.shape)}; add a connector'
        )


def check_same_rows(x: Tensor, y: Tensor) -> None:
    """Raise ValueError unless the shapes are (..., N, P) and (..., N, Q)."""
    if x.ndim < 2:
        raise ValueError(f'x: expected a shape (..., N, P), got {tuple(x.shape)}')
    if y.ndim < 2 or y.shape[-2] != x.shape[-2]:
        raise ValueError(
            f'y: expected a shape (..., {x.shape[-2]}, Q) with as many rows as x, '
            f'got {tuple(y.shape)}'
        )


def check_matrix(name: str, x: Tensor, rows: int | None = None) -> None:
    """Raise ValueError, naming ``name``, unless ``x`` is (B, D), with ``rows`` rows if given."""
    if x.ndim != 2 or (rows is not None and len(x) != rows):
        expected = 'B' if rows is None else rows
        raise ValueError(f'{name}: expected a shape ({expected}, D), got {tuple(x.shape)}')


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f'{name}: expected one of {choices}, got {value!r}')


def check_positive(name: str, value: float) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is a finite number > 0."""
    if not (isinstance(value, Real) and value > 0 and math.isfinite(value)):
        raise ValueError(f'{name}: expected a finite number > 0, got {value!r}')


def check_non_negative(name: str, value: float) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is a finite number >= 0."""
    if not (isinstance(value, Real) and 0 <= value < math.inf):
        raise ValueError(f'{name}: expected a finite number >= 0, got {value!r}')


def is_score(value: object) -> bool:
    """Return whether a value is a number between 0 and 1, without them."""
    return isinstance(value, int | float) and 0 < value < 1


def check_positive_int(name: str, value: int) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is an integer >= 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{name}: expected a positive integer, got {value!r}')


def check_level_indices(levels: Sequence[int]) -> None:
    """Raise ValueError unless ``levels`` are one or more distinct indices >= 0."""
    indices = [i for i in levels if isinstance(i, int) and i >= 0]
    if not indices or len(set(indices)) != len(levels):
        raise ValueError(f'levels: expected distinct indices >= 0, at least one, got {levels!r}')


def check_has_level(name: str, features: tuple[Tensor, ...], level: int) -> None:
    """Raise ValueError, naming ``name``, unless ``features`` has a level of this index."""
    if level >= len(features):
        raise ValueError(f'{name}: expected a level of index {level}, got {len(features)} levels')


def as_levels(name: str, value: Tensor | Sequence[Tensor]) -> tuple[Tensor, ...]:
    """Return the levels as a tuple. Raise TypeError, naming ``name``, if one is not a Tensor."""
    features = (value,) if isinstance(value, Tensor) else value
    is_sequence = isinstance(features, tuple | list) and len(features) > 0
    if not is_sequence or not all(isinstance(feature, Tensor) for feature in features):
        raise TypeError(
            f'{name}: expected a Tensor or a non-empty tuple of Tensors, got {_describe(value)}'
        )
    return tuple(features)


def _describe(value: object) -> str:
    if isinstance(value, tuple | list):
        return f'{type(value).__name__} of {[type(item).__name__ for item in value]}'
    return type(value).__name__
