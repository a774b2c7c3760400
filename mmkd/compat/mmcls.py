"""``mmcls``, which MMRazor imports, as an alias of its successor ``mmpretrain``."""

import importlib
from types import ModuleType

from mmkd.compat.import_hooks import after_import, provide

RENAMED = {'ClsDataSample': 'DataSample', 'PackClsInputs': 'PackInputs'}


class _Alias(ModuleType):
    """Looks its attributes up in the module of ``mmpretrain`` that it stands for."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        target = 'mmpretrain' + name.removeprefix('mmcls')
        self.__dict__['_target'] = importlib.import_module(target)

    def __getattr__(self, name: str):
        # The import system must see this module's own (absent) path and spec, not the target's.
        if name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.__dict__['_target'], RENAMED.get(name, name))


def _alias_scope(mmpretrain_registry: ModuleType) -> None:
    """Let ``type='mmcls.X'`` find what is registered as ``mmpretrain.X``."""
    from mmengine.registry import Registry

    for registry in vars(mmpretrain_registry).values():
        if isinstance(registry, Registry) and registry.parent is not None:
            if registry.scope == 'mmpretrain':
                registry.parent.children.setdefault('mmcls', registry)


def apply() -> None:
    """Provide ``mmcls`` unless it is installed."""
    provide('mmcls', _Alias, tree=True)
    after_import('mmpretrain.registry', _alias_scope)
