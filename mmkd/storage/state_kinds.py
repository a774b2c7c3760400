"""Whether values that a checkpoint brings have the kinds of the run's own values."""

import math
from collections.abc import Iterator, Mapping
from numbers import Real
from typing import Any

import numpy as np
from torch import Tensor

# What changes from step to step, so a checkpoint differs from a fresh run.
_MOVING = ('params', 'base_values', 'best', 'num_bad_epochs', 'cooldown_counter')


def is_number(value: Any) -> bool:
    """Whether ``value`` is a number, infinity included, but neither NaN nor a truth value."""
    return _kind(value) is Real and not math.isnan(value)


def other_kinds(own: Any, saved: Any, name: str) -> Iterator[str]:
    """Say which parts of ``saved`` are of another kind than in ``own``, or NaN.

    Kinds are: numbers, truth values, texts, dicts, sequences of one length, None. Where the run's
    value is None, a number or a truth value passes as well.

    Args:
        own: The run's value, with further values in dicts and sequences.
        saved: That of the checkpoint. Keys of one side alone do not matter.
        name: Where it stands.
    """
    kind, old = _kind(own), _kind(saved)
    if kind is old is Mapping:
        for key in sorted(own.keys() & saved.keys(), key=str):
            yield from other_kinds(own[key], saved[key], f'{name}.{key}')
    elif kind is old is list and len(own) == len(saved):
        for index, pair in enumerate(zip(own, saved, strict=True)):
            yield from other_kinds(*pair, f'{name}.{index}')
    elif kind is old is list or old not in ((None, bool, Real) if kind is None else (kind,)):
        yield f'{name}: the run has {own!r:.40}, the file {saved!r:.40}'
    elif old is Real and not is_number(saved):
        yield f'{name}: NaN'


def other_settings(own: Mapping[str, Any], saved: Mapping[str, Any]) -> list[str]:
    """Say which settings differ. What training changes, such as a scheduled rate, is none."""
    rows = []
    for name in sorted(own.keys() & saved.keys()):
        moves = name.startswith('_') or name.startswith('last_') or f'initial_{name}' in saved
        if not moves and name not in _MOVING and _plain(own[name]) != _plain(saved[name]):
            rows.append(f'{name}={saved[name]!r:.40} (the config has {own[name]!r:.40})')
    return rows


def _kind(value: Any) -> Any:
    value = _plain(value)
    for kind in (bool, Real, str, Mapping):
        if isinstance(value, kind):
            return kind
    if isinstance(value, list | tuple):
        return list
    return None if value is None else type(value)


def _plain(value: Any) -> Any:
    """Return the number in a tensor or array of one value; other values as they are."""
    single = isinstance(value, Tensor | np.ndarray | np.generic) and value.ndim == 0
    return value.item() if single else value
