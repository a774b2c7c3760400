"""The text of a config file."""

import keyword
import math
from collections.abc import Mapping
from pathlib import PurePath
from typing import Any

import numpy as np
from yapf.yapflib.yapf_api import FormatCode

from mmkd.storage.config_literal import quoted

STYLE = dict(
    based_on_style='pep8',
    column_limit=100,
    dedent_closing_brackets=True,
    space_between_ending_comma_and_closing_bracket=False,
)


class Expression(str):
    """Python that stands in a config as it is, such as ``_base_.train_pipeline``."""

    __slots__ = ()


def assignments(settings: Mapping[str, Any]) -> str:
    """Return formatted ``name = value`` statements.

    Every string passes ``repr``, so no text from data can become code.

    Raises:
        TypeError: If a value, named by its key, is none that a config file can hold.
        ValueError: If a name is none of Python's.

    Example:
        >>> print(assignments(dict(neck=dict(type='FPN'), pipeline=Expression('_base_.p'))), end='')
        neck = dict(type='FPN')
        <BLANKLINE>
        pipeline = _base_.p
    """
    for name in settings:
        if not _is_name(name):
            raise ValueError(f'config: expected names such as model as keys, got {name!r}')
    lines = [f'{name} = {_source(value, name)}' for name, value in settings.items()]
    return FormatCode('\n\n'.join(lines) + '\n', style_config=STYLE)[0]


def docstring(lines: list[str]) -> str:
    """Return a docstring of these lines, in which nothing can end it early."""
    escaped = [quoted(line)[1:-1].replace('"', '\\"') for line in lines]
    return '\n'.join(['"""' + escaped[0], *escaped[1:], '"""'])


def _is_name(key: Any) -> bool:
    """Whether a key can stand as a name; Python changes some names that are not ASCII."""
    return (
        isinstance(key, str) and key.isascii() and key.isidentifier() and not keyword.iskeyword(key)
    )


def _source(value: Any, where: str) -> str:
    """The expression of a value that stands at a dotted key."""
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, PurePath):
        return quoted(str(value))
    if isinstance(value, type) and where.endswith('.type'):
        return quoted(f'{value.__module__}.{value.__qualname__}')  # as MMEngine writes it
    if isinstance(value, Mapping):
        items = {key: _source(item, f'{where}.{key}') for key, item in value.items()}
        if all(map(_is_name, value)):
            return f'dict({", ".join(f"{key}={item}" for key, item in items.items())})'
        return f'{{{", ".join(f"{_source(key, where)}: {v}" for key, v in items.items())}}}'
    if isinstance(value, list | tuple):
        texts = [_source(item, f'{where}.{index}') for index, item in enumerate(value)]
        left, right = '[]' if isinstance(value, list) else '()'
        comma = ',' if len(texts) == 1 and left == '(' else ''
        return f'{left}{", ".join(texts)}{comma}{right}'
    if isinstance(value, np.generic):
        return _source(value.item(), where)
    if isinstance(value, float) and not math.isfinite(value):
        return f'float({str(float(value))!r})'
    if value is None or type(value) in (bool, int, float):
        return repr(value)
    raise TypeError(
        f'{where}: expected numbers, text, None, and lists, tuples and dicts of them, which a '
        f'config file can hold, got {type(value).__name__} {value!r:.80}'
    )
