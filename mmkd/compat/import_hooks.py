"""Two import hooks: provide a module that is missing, patch one right after it is imported.

Patching at import time keeps ``import mmkd`` free of cost and makes the order in which a user
imports ``mmkd`` and the OpenMMLab packages irrelevant.
"""

import sys
from collections.abc import Callable
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec, PathFinder
from types import ModuleType

Patch = Callable[[ModuleType], None]
Factory = Callable[[str], ModuleType]


class _FactoryLoader(Loader):
    """Loads a module by calling a factory with the module's name."""

    def __init__(self, factory: Factory) -> None:
        self._factory = factory

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        return self._factory(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """The factory has filled the module."""


class _Provider(MetaPathFinder):
    """Finds registered modules (and, where asked, everything below them)."""

    def __init__(self) -> None:
        self.factories: dict[str, tuple[Factory, bool]] = {}

    def find_spec(self, fullname, path=None, target=None):
        for name, (factory, tree) in self.factories.items():
            if fullname == name or (tree and fullname.startswith(name + '.')):
                return ModuleSpec(fullname, _FactoryLoader(factory), is_package=tree)
        return None


class _Patcher(MetaPathFinder):
    """Finds registered modules on the usual path and patches them once they are executed."""

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

        # The loader keeps its type, so that inspect and linecache still find the source.
        spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


_overrides, _fallbacks, _patcher = _Provider(), _Provider(), _Patcher()


def install() -> None:
    """Put the finders in place; repeated calls change nothing."""
    for finder in (_patcher, _overrides):
        if finder not in sys.meta_path:
            sys.meta_path.insert(0, finder)
    if _fallbacks not in sys.meta_path:
        sys.meta_path.append(_fallbacks)


def provide(name: str, factory: Factory, *, override: bool = False, tree: bool = False) -> None:
    """Make ``name`` importable.

    Args:
        name: Full name of the module.
        factory: Called with the module's full name, returns the finished module.
        override: Take the place of an installed module of that name; by default an installed
            one wins.
        tree: Provide every sub-module of ``name`` by the same factory.
    """
    (_overrides if override else _fallbacks).factories[name] = (factory, tree)


def after_import(name: str, patch: Patch) -> None:
    """Call ``patch(module)`` after ``name`` is imported; at once if it already is."""
    patches = _patcher.patches.setdefault(name, [])
    if patch in patches:
        return
    patches.append(patch)
    if name in sys.modules:
        patch(sys.modules[name])


def rebind(owner: ModuleType, name: str, new: Callable) -> None:
    """Replace a function in its module and wherever its package has already imported it by name."""
    old = getattr(owner, name)
    package = owner.__name__.partition('.')[0]
    for module_name, module in list(sys.modules.items()):
        if module_name.partition('.')[0] == package and vars(module).get(name) is old:
            setattr(module, name, new)
