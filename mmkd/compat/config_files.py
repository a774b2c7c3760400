"""Text and data stay text and data: in configs, and in the files that configs name.

MMEngine reads YAML with a loader that calls any Python function, unpickles annotation files, looks
up ``type='os.system'``, and writes configs in which a key, or text with ``{{``, can become code.
"""

import functools
import io
import keyword
import math
import os.path as osp
import pickle
import sys
from collections.abc import Mapping
from types import ModuleType, SimpleNamespace
from typing import Any

from mmkd.compat.import_hooks import after_import

PYTHON_TAGS = 'tag:yaml.org,2002:python/'
# Installed packages whose functions a `type` may name without being registered.
FUNCTIONS_FROM = (
    'mmdet',
    'mmengine.dataset',
    'mmkd',
    'mmpretrain',
    'torch.distributed.fsdp',
    'torch.nn',
    'torch.utils.data',
)


def _read_yaml_safely(handler: ModuleType) -> None:
    try:
        from yaml import CSafeLoader as SafeLoader
    except ImportError:  # PyYAML without libyaml, ten times slower
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


def _storage(data: bytes) -> Any:
    """Stand in for ``torch.storage._load_from_bytes``, which would unpickle anything."""
    import torch

    return torch.load(io.BytesIO(data), weights_only=True)


def _bytes(text: str, encoding: str) -> bytes:
    """Stand in for ``_codecs.encode``, by which old pickles hold bytes."""
    if encoding != 'latin1':
        raise ValueError(f'pickle: expected bytes as latin1, got {encoding!r}')
    return text.encode(encoding)


@functools.cache
def _plain_types() -> dict[str, Any]:
    """What the predictions and proposals of MMDetection hold, beside plain values."""
    from collections import OrderedDict

    from mmengine.structures import InstanceData
    from torch._utils import _rebuild_tensor_v2

    from mmkd.compat.checkpoints import safe_types

    arrays = {each[1]: each[0] for each in safe_types() if isinstance(each, tuple)}
    return arrays | {
        '_codecs.encode': _bytes,
        '__builtin__.set': set,  # of Python 2, in pickles of MMEngine
        'builtins.set': set,
        'collections.OrderedDict': OrderedDict,
        'mmengine.structures.instance_data.InstanceData': InstanceData,
        'torch._utils._rebuild_tensor_v2': _rebuild_tensor_v2,
        'torch.storage._load_from_bytes': _storage,
    }


class _PlainUnpickler(pickle.Unpickler):
    """Reads dicts, lists, text, numbers, and arrays and tensors of numbers."""

    def find_class(self, module: str, name: str) -> Any:
        try:
            return _plain_types()[f'{module}.{name}']
        except KeyError:
            raise ValueError(
                'pickle: expected plain dicts, lists, text, numbers, arrays and tensors, got '
                f'{module}.{name}; a pickle could run any code, so save such data as JSON'
            ) from None


def _unpickle_plain_data(handler: ModuleType) -> None:
    def load_from_fileobj(self: Any, file: Any, **kwargs: Any) -> Any:
        return _PlainUnpickler(file, **kwargs).load()

    handler.PickleHandler.load_from_fileobj = load_from_fileobj


def _is_foreign(function: Any, name: str, home: str) -> bool:
    """Whether a function is none that configs use, such as ``torch.hub.load``, which runs files."""
    if '.' in getattr(function, '__qualname__', '.'):
        return True  # a method
    if any(f'{home}.'.startswith(f'{package}.') for package in FUNCTIONS_FROM):
        return False
    package = sys.modules.get((home or name).partition('.')[0])
    return 'site-packages' in str(getattr(package, '__file__', 'site-packages'))


def _find_no_python_builtins(registry: ModuleType) -> None:
    find = registry.get_object_from_string

    def find_elsewhere(name: str) -> Any:
        found = find(name)
        home = getattr(found, '__module__', None) or ''
        for place in (name, home):
            if place.partition('.')[0] in sys.stdlib_module_names:
                raise ValueError(f"type: expected a registered class, got Python's own {name}")
        if callable(found) and not isinstance(found, type) and _is_foreign(found, name, home):
            raise ValueError(f'type: expected a class or a registered function, got {name}')
        return found

    registry.get_object_from_string = find_elsewhere  # type: ignore[attr-defined]


def _check_bases(config: ModuleType) -> None:
    """Stop at a config that inherits from itself, and at a file or a base that is none."""
    read, bases_of = config.Config._file2dict, config.Config._get_base_files
    reading: list[str] = []

    def file2dict(filename: Any, *args: Any, **kwargs: Any) -> Any:
        path = osp.realpath(osp.expanduser(filename))
        if path in reading:
            raise ValueError(f'_base_: {filename} inherits from itself')
        reading.append(path)
        try:
            return read(filename, *args, **kwargs)
        finally:
            reading.pop()

    def get_base_files(filename: str) -> list:
        if not filename.endswith('.py') and not isinstance(found := load(filename), Mapping):
            raise ValueError(f'expected settings by name, got {found!r:.80}')
        bases = bases_of(filename)
        if not all(isinstance(base, str) for base in bases):
            raise ValueError(f'_base_: expected a path or a list of paths, got {bases}')
        return bases

    from mmengine.fileio import load

    config.Config._file2dict = staticmethod(file2dict)
    config.Config._get_base_files = staticmethod(get_base_files)


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
    after_import('mmengine.config.config', _check_bases)
    after_import('mmengine.config.config', _write_text_as_text)
