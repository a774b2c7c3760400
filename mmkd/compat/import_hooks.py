"""Two import hooks: one provides missing modules, one patches modules after their import.

Patches at import time keep ``import mmkd`` fast. Users may import ``mmkd`` before or after the
OpenMMLab packages.
"""

import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

Patch = Callable[[ModuleType], None]
Factory = Callable[[str], ModuleType]


class _FactoryLoader(Loader):
    """Loads a module by a call of a factory with the module's name."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._factory(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """The factory has filled the module."""


class _Provider(MetaPathFinder):
    """Finds registered modules, and optionally all their submodules."""

    def __init__(self) -> None:
        self.factories: dict[str, tuple[Factory, bool]] = {}

    def find_spec(self, fullname, path=None, target=None):
        for name, (factory, tree) in self.factories.items():
            if fullname == name or (tree and fullname.startswith(name + '.')):
                return ModuleSpec(fullname, _FactoryLoader(factory), is_package=tree)
        return None


class _Patcher(MetaPathFinder):
    """Finds registered modules on the usual path and patches them after their execution."""

    def __init__(self) -> None:
        self.patches: dict[str, list[Patch]] = {}

    def find_spec(self, fullname, path=None, target=None):
        patches = self.patches.get(fullname)
        if not patches:
            return None
        spec = PathFinder.find_spec(fullname, path, target)
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: ModuleType) -> None:
            execute(module)
            for patch in patches:
                patch(module)

        # The loader keeps its type, so inspect and linecache still find the source.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_overrides, _fallbacks, _patcher = _Provider(), _Provider(), _Patcher()


def install() -> None:
    """Install the finders. Repeated calls change nothing."""
    for finder in (_patcher, _overrides):
        if finder not in sys.meta_path:
            sys.meta_path.insert(0, finder)
    if _fallbacks not in sys.meta_path:
        sys.meta_path.append(_fallbacks)


def provide(name: str, factory: Factory, *, override: bool = False, tree: bool = False) -> None:
    """Make ``name`` importable.

    Args:
        name: Full name of the module.
        factory: Takes the module's full name and returns the finished module.
        override: Replace an installed module of this name. By default the installed one wins.
        tree: Use the factory for every submodule of ``name``, too.
    """
    (_overrides if override else _fallbacks).factories[name] = (factory, tree)


def after_import(name: str, patch: Patch) -> None:
    """Call ``patch(module)`` after the import of ``name``, or now if it is imported already."""
    patches = _patcher.patches.setdefault(name, [])
    if patch in patches:
        return
    patches.append(patch)
    if name in sys.modules:
        patch(sys.modules[name])


def rebind(owner: ModuleType, name: str, new: Callable) -> None:
    """Replace a function in its module and in all modules of its package that imported it."""
    old = getattr(owner, name)
    package = owner.__name__.partition('.')[0]
    for module_name, module in list(sys.modules.items()):
        if module_name.partition('.')[0] == package and vars(module).get(name) is old:
            setattr(module, name, new)
