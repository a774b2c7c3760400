"""``mmcls``, which MMRazor imports, as an alias of its successor ``mmpretrain``."""

import importlib
import importlib.util
from types import ModuleType

from mmkd.compat.import_hooks import after_import, provide

RENAMED = {'ClsDataSample': 'DataSample', 'PackClsInputs': 'PackInputs'}


class _Alias(ModuleType):
    """Looks up attributes in the ``mmpretrain`` module of the same name."""

    def __init__(self, name: str) -> None:
        super().__init__(name)
        target = 'mmpretrain' + name.removeprefix('mmcls')
        self.__dict__['_target'] = importlib.import_module(target)

    def __getattr__(self, name: str):
        # The import system must not see the target's path and spec.
        if name.startswith('__'):
            raise AttributeError(name)
        return getattr(self.__dict__['_target'], RENAMED.get(name, name))


def _is_installed() -> bool:
    spec = importlib.util.find_spec('mmcls')
    return spec is not None and spec.origin is not None  # the alias has no file


def _alias_scope(mmpretrain_registry: ModuleType) -> None:
    """Let ``type='mmcls.X'`` find ``mmpretrain.X``."""
    from mmengine.registry import Registry

    if _is_installed():
        return

    class AliasRegistry(Registry):
        def __init__(self, target: Registry) -> None:
            super().__init__(
                target.name, build_func=target.build_func, parent=target.parent, scope='mmcls'
            )
            self._target = target

        def get(self, key: str):
            name = key.removeprefix('mmcls.')
            return self._target.get(RENAMED.get(name, name))

    for registry in list(vars(mmpretrain_registry).values()):
        if isinstance(registry, Registry) and registry.scope == 'mmpretrain':
            AliasRegistry(registry)  # its parent holds a reference


def _alias_configs(config_utils: ModuleType) -> None:
    """Let ``_base_ = 'mmcls::...'`` and ``cfg_path='mmcls::...'`` find the configs."""
    if not _is_installed():
        config_utils.MODULE2PACKAGE['mmcls'] = 'mmpretrain'


def apply() -> None:
    """Provide ``mmcls`` unless it is installed."""
    provide('mmcls', _Alias, tree=True)
    after_import('mmpretrain.registry', _alias_scope)
    after_import('mmengine.config.utils', _alias_configs)
