"""Argument checks shared by functional and losses."""

import math

from torch import Tensor


def check_same_shape(student: Tensor, teacher: Tensor, name: str = 'teacher') -> None:
    """Raise ValueError, naming ``name``, unless both feature maps have one shape."""
    if student.shape != teacher.shape:
        raise ValueError(
            f"{name}: expected the student's shape {tuple(student.shape)}, "
            f'got {tuple(teacher.shape)}; add a connector'
        )


def check_choice(name: str, value: str, choices: tuple[str, ...]) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is one of ``choices``."""
    if value not in choices:
        raise ValueError(f'{name}: expected one of {choices}, got {value!r}')


def check_positive(name: str, value: float) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is a finite number > 0."""
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f'{name}: expected a finite number > 0, got {value!r}')


def check_positive_int(name: str, value: int) -> None:
    """Raise ValueError, naming ``name``, unless ``value`` is an integer >= 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise ValueError(f'{name}: expected a positive integer, got {value!r}')
