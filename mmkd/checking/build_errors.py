"""Errors of building name the place in the config that they are about."""

import re
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry

from mmkd.checking.close_names import did_you_mean

UNKNOWN_TYPE = re.compile(r'(\S+) is not in the \S+?::(\w+) registry|Failed to get (\S+)')
WRONG_ARGUMENT = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
MISSING_ARGUMENT = re.compile(r'(\w+)\.__init__\(\) missing \d+ required .*arguments?: (.*)')


@contextmanager
def explain_building(cfg: Config) -> Iterator[None]:
    """Make an unknown type or argument fail with its place in the config while the block runs.

    Raises:
        ValueError: Names the setting and close names.
    """
    try:
        yield
    except (KeyError, RuntimeError, TypeError) as error:
        text = str(error.args[0]) if error.args else ''
        problem = _problem(cfg, text)
        if problem is None:
            raise
        raise ValueError(problem) from error


def _problem(cfg: Config, text: str) -> str | None:
    if found := UNKNOWN_TYPE.search(text):
        name = found[1] or found[3]
        hint = did_you_mean(name, _registered(found[2])) if found[2] else ''
        return f'{_place(cfg, name)}type: no {name} is registered{hint}'
    if found := WRONG_ARGUMENT.search(text):
        return f'{_place(cfg, found[1], found[2])}{found[2]}: no argument of {found[1]}'
    if found := MISSING_ARGUMENT.search(text):
        return f'{_place(cfg, found[1])[:-1] or found[1]}: expected {found[2]} of {found[1]}'
    return None


def _registered(registry: str) -> list[str]:
    """Names of a registry, with the scope that a config needs."""
    root = next(
        each
        for each in vars(mmengine.registry).values()
        if isinstance(each, Registry) and each.name == registry
    )
    names = [*root.module_dict]
    for scope, child in root.children.items():
        names += [f'{scope}.{name}' for name in child.module_dict] + [*child.module_dict]
    return names


def _place(node: Any, kind: str, argument: str | None = None, path: str = '') -> str:
    """The dotted key, with a dot at its end, of the first dict of this type; empty if none is."""
    if isinstance(node, Mapping | Config):
        found = node.get('type')
        name = found.__name__ if isinstance(found, type) else str(found)
        same = name == kind or name.rpartition('.')[2] == kind
        if path and same and (argument is None or argument in node):
            return path
        items: Any = node.items()
    elif isinstance(node, list | tuple):
        items = enumerate(node)
    else:
        return ''
    for key, value in items:
        if place := _place(value, kind, argument, f'{path}{key}.'):
            return place
    return ''
