"""The text of a config file."""

import keyword
import math
from collections.abc import Mapping
from typing import Any

from yapf.yapflib.yapf_api import FormatCode

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

    Example:
        >>> print(assignments(dict(neck=dict(type='FPN'), pipeline=Expression('_base_.p'))), end='')
        neck = dict(type='FPN')
        <BLANKLINE>
        pipeline = _base_.p
    """
    lines = [f'{name} = {_source(value)}' for name, value in settings.items()]
    return FormatCode('\n\n'.join(lines) + '\n', style_config=STYLE)[0]


def quoted(text: str) -> str:
    """Return a string literal that MMEngine reads back as this text.

    MMEngine replaces ``{{ fileDirname }}`` and its like in the file, even within strings.
    """
    return repr(text).replace('{{', '{\\x7b')


def docstring(lines: list[str]) -> str:
    """Return a docstring of these lines, in which nothing can end it early."""
    escaped = [quoted(line)[1:-1].replace('"', '\\"') for line in lines]
    return '\n'.join(['"""' + escaped[0], *escaped[1:], '"""'])


def _source(value: Any) -> str:
    if isinstance(value, Expression):
        return str(value)
    if isinstance(value, str):
        return quoted(value)
    if isinstance(value, Mapping):
        if all(str(key).isidentifier() and not keyword.iskeyword(key) for key in value):
            return f'dict({", ".join(f"{key}={_source(item)}" for key, item in value.items())})'
        return f'{{{", ".join(f"{_source(key)}: {_source(v)}" for key, v in value.items())}}}'
    if isinstance(value, list):
        return f'[{", ".join(map(_source, value))}]'
    if isinstance(value, tuple):
        comma = ',' if len(value) == 1 else ''
        return f'({", ".join(map(_source, value))}{comma})'
    if isinstance(value, float) and not math.isfinite(value):
        return f'float({str(value)!r})'
    return repr(value)
