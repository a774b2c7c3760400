"""Text and data stay text and data: in configs, and in the files that configs name.

MMEngine reads YAML with a loader that calls any Python function, unpickles annotation files, looks
up ``type='os.system'``, and writes configs in which a key, or text with ``{{``, can become code.
"""

import keyword
import math
import pickle
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from mmkd.compat.import_hooks import after_import

PYTHON_TAGS = 'tag:yaml.org,2002:python/'


def _read_yaml_safely(handler: ModuleType) -> None:
    from yaml import SafeLoader

    class PlainLoader(SafeLoader):
        """Builds plain values, and the tuples that MMEngine writes."""

    def tuple_of(loader: Any, node: Any) -> tuple:
        return tuple(loader.construct_sequence(node, deep=True))

    def refuse(_: Any, tag: str, node: Any) -> None:
        raise ValueError(
            f'YAML: expected plain values, got !!python/{tag} in line {node.start_mark.line + 1}; '
            'a file that calls Python could run any code'
        )

    PlainLoader.add_multi_constructor(PYTHON_TAGS, refuse)
    PlainLoader.add_constructor(f'{PYTHON_TAGS}tuple', tuple_of)
    handler.Loader = PlainLoader  # type: ignore[attr-defined]


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, text and numbers."""

    def find_class(self, module: str, name: str) -> Any:
        raise ValueError(
            f'pickle: expected plain dicts, lists, text and numbers, got {module}.{name}; a pickle '
            'could run any code, so save such data as JSON'
        )


def _unpickle_plain_data(handler: ModuleType) -> None:
    def load_from_fileobj(self: Any, file: Any, **kwargs: Any) -> Any:
        return _PlainUnpickler(file, **kwargs).load()

    handler.PickleHandler.load_from_fileobj = load_from_fileobj


def _find_no_python_builtins(registry: ModuleType) -> None:
    find = registry.get_object_from_string

    def find_elsewhere(name: str) -> Any:
        found = find(name)
        home = getattr(found, '__module__', None) or ''
        for place in (name, home):
            if place.partition('.')[0] in sys.stdlib_module_names:
                raise ValueError(f"type: expected a registered class, got Python's own {name}")
        return found

    registry.get_object_from_string = find_elsewhere  # type: ignore[attr-defined]


class _Text(str):
    """Text that MMEngine's writer escapes: it takes ``repr`` of values, and ``str`` of keys."""

    __slots__ = ()

    def __repr__(self) -> str:
        from mmkd.storage.config_literal import quoted

        return quoted(self)

    def __str__(self) -> str:
        if self.isidentifier() and (keyword.iskeyword(self) or not self.isascii()):
            return ''.join(f'\\U{ord(char):08x}' for char in self)  # no name of an argument
        # MMEngine puts keys into single quotes.
        return repr(self)[1:-1] if repr(self)[0] == "'" else repr(self)[1:-1].replace("'", "\\'")


class _Float(float):
    """NaN or infinity as an expression."""

    def __repr__(self) -> str:
        return f"float('{float.__repr__(self)}')"


def _escaped(value: Any) -> Any:
    if isinstance(value, str):
        return _Text(value)
    if isinstance(value, float) and not math.isfinite(value):
        return _Float(value)
    if isinstance(value, Mapping):
        return {_escaped(key): _escaped(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(map(_escaped, value))
    return value


def _write_text_as_text(config: ModuleType) -> None:
    write = config.Config.pretty_text.fget

    def pretty_text(self: Any) -> str:
        """Formatted text of the config, which reads back as the config."""
        values = _escaped(self.to_dict())
        return write(
            SimpleNamespace(to_dict=lambda: values, _format_python_code=self._format_python_code)
        )

    config.Config.pretty_text = property(pretty_text)


def apply() -> None:
    """Patch MMEngine's readers, look-up and writer."""
    after_import('mmengine.fileio.handlers.yaml_handler', _read_yaml_safely)
    after_import('mmengine.fileio.handlers.pickle_handler', _unpickle_plain_data)
    after_import('mmengine.registry.registry', _find_no_python_builtins)
    after_import('mmengine.config.config', _write_text_as_text)
