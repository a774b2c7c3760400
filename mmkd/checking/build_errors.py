"""Errors of building name the place in the config that they are about."""

import re
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import mmengine.registry
from mmengine.config import Config
from mmengine.registry import Registry

from mmkd.checking.close_names import did_you_mean
from mmkd.checking.setting_values import each_setting

UNKNOWN_TYPE = re.compile(r'(\S+) is not in the \S+?::([\w ]+) registry|Failed to get (\S+)')
WRONG_ARGUMENT = re.compile(r"(\w+)\.__init__\(\) got an unexpected keyword argument '(\w+)'")
MISSING_ARGUMENT = re.compile(r'(\w+)\.__init__\(\) missing \d+ required .*arguments?: (.*)')

# What other packages raise for arguments that do not fit, and the functions that build.
FOREIGN = (
    KeyError,
    RuntimeError,
    TypeError,
    ValueError,
    AttributeError,
    AssertionError,
    IndexError,
)
BUILDERS = ('build_from_cfg', 'build_model_from_cfg', 'build_scheduler_from_cfg')
PACKAGE = str(Path(__file__).resolve().parents[1])


@contextmanager
def explain_building(cfg: Config) -> Iterator[None]:
    """Make an unknown type or argument fail with its place in the config while the block runs.

    Raises:
        ValueError: Names the setting and close names.
    """
    try:
        yield
    except FOREIGN as error:
        text = str(error.args[0]) if error.args else ''
        problem = _problem(cfg, text) or _foreign_problem(cfg, error)
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


def _foreign_problem(cfg: Config, error: BaseException) -> str | None:
    """Name the innermost setting that was being built when another package raised this."""
    if isinstance(error, OSError):
        return None
    frames = [frame for frame, _ in traceback.walk_tb(error.__traceback__)]
    if frames[-1].f_code.co_filename.startswith(PACKAGE):
        return None
    for frame in reversed(frames):
        config = frame.f_locals.get('cfg')
        if frame.f_code.co_name in BUILDERS and isinstance(config, Mapping):
            place = _place_of(cfg, config) or _place(cfg, str(config.get('type')))[:-1]
            if place:
                kind = config.get('type')
                text = ' '.join(str(error.args[0] if error.args else '').split())
                return f'{place} ({kind}): {text} ({type(error).__name__}; see --debug)'
    return None


def _place_of(cfg: Config, wanted: Mapping) -> str:
    """The dotted key of a dict of this content; empty if there is none."""
    found = (key for key, each in each_setting(cfg) if isinstance(each, Mapping) and each == wanted)
    return next(found, '')


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
