"""The text of a config file, as one would write it by hand."""

import keyword
from collections.abc import Iterator, Mapping
from typing import Any

INDENT = '    '
WIDTH = 100


class Expression(str):
    """Python that stands in a config as it is, such as ``_base_.train_pipeline``."""

    __slots__ = ()

    def __repr__(self) -> str:
        return str(self)


def assignment(name: str, value: Any) -> str:
    """``name = value``, on as many lines as it needs.

    Example:
        >>> print(assignment('model', dict(neck=dict(type='FPN'), pipeline=Expression('_base_.p'))))
        model = dict(neck=dict(type='FPN'), pipeline=_base_.p)
    """
    return f'{name} = {_text(value, f"{name} = ", "")}'


def changes(name: str, old: Mapping[str, Any], new: Mapping[str, Any]) -> Iterator[str]:
    """Assignments to the attributes of a config that make it another one, which has all its keys.

    Example:
        >>> old = dict(loss=dict(type='L1Loss', loss_weight=1.0))
        >>> new = dict(loss=dict(type='L1Loss', loss_weight=2.0), connectors=dict(a=dict()))
        >>> [*changes('distiller', old, new)]
        ['distiller.loss.loss_weight = 2.0', 'distiller.connectors = dict(a=dict())']
    """
    for key, value in new.items():
        if key not in old:
            yield assignment(f'{name}.{key}', value)
        elif isinstance(value, Mapping) and isinstance(old[key], Mapping):
            yield from changes(f'{name}.{key}', old[key], value)
        elif old[key] != value:
            yield assignment(f'{name}.{key}', value)


def _text(value: Any, before: str, after: str, indent: str = '') -> str:
    """The value between two texts: on their line if it fits, else an item a line."""
    line = _on_one_line(value)
    if len(indent) + len(before) + len(line) + len(after) <= WIDTH:
        return line
    if isinstance(value, Mapping):
        opening, items, closing = _mapping_parts(value)
    elif isinstance(value, list | tuple) and value:
        items = [('', item) for item in value]
        opening, closing = '[]' if isinstance(value, list) else '()'
    else:
        return line
    inner = indent + INDENT
    lines = [f'{inner}{key}{_text(item, key, ",", inner)},\n' for key, item in items]
    return f'{opening}\n{"".join(lines)}{indent}{closing}'


def _on_one_line(value: Any) -> str:
    if isinstance(value, Mapping):
        opening, items, closing = _mapping_parts(value)
        return opening + ', '.join(f'{k}{_on_one_line(v)}' for k, v in items) + closing
    if isinstance(value, list):
        return f'[{", ".join(map(_on_one_line, value))}]'
    if isinstance(value, tuple):
        comma = ',' if len(value) == 1 else ''
        return f'({", ".join(map(_on_one_line, value))}{comma})'
    return repr(value)


def _mapping_parts(value: Mapping[str, Any]) -> tuple[str, list[tuple[str, Any]], str]:
    """Opening, items with what stands before their values, and closing."""
    if all(key.isidentifier() and not keyword.iskeyword(key) for key in value):
        return 'dict(', [(f'{key}=', item) for key, item in value.items()], ')'
    return '{', [(f'{key!r}: ', item) for key, item in value.items()], '}'
