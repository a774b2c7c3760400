"""How MMEngine finds installed packages and their configs (``pkg::path/to/config.py``).

MMEngine 0.10 asks ``pkg_resources``, which setuptools no longer ships and which does not see
editable installs. These patches ask the import system instead. They also let configs inherit from
``mmkd::``. Types without a prefix in such a config belong to the scope of the inheriting config,
because mmkd's own types have a prefix. A config is first looked for at the path in its name.
MMEngine would read a hundred metafiles first, for each of a dozen base configs.
"""

import functools
import importlib.util
import os.path as osp
from types import ModuleType

from mmkd.compat.import_hooks import after_import, rebind

# Distributions whose module has another name (MMEngine's own table, reversed).
MODULES = {'mmsegmentation': 'mmseg', 'mmaction2': 'mmaction', 'mmcv-lite': 'mmcv'}


def _find(package: str):
    return importlib.util.find_spec(MODULES.get(package, package))


def is_installed(package: str) -> bool:
    """Whether ``package`` (a distribution of OpenMMLab or a module) can be imported."""
    return _find(package) is not None


def get_installed_path(package: str) -> str:
    """Return the folder of the module that ``package`` installs.

    Raises:
        ModuleNotFoundError: If the package is not installed.
        RuntimeError: If it is a namespace package.
    """
    spec = _find(package)
    if spec is None:
        raise ModuleNotFoundError(f'{package} is not installed')
    if spec.origin is None:
        raise RuntimeError(f'{package} is a namespace package and has no folder of its own')
    return osp.dirname(spec.origin)


def _use_import_system(package_utils: ModuleType) -> None:
    rebind(package_utils, 'is_installed', is_installed)
    rebind(package_utils, 'get_installed_path', get_installed_path)


def _know_mmkd(config_utils: ModuleType) -> None:
    config_utils.MODULE2PACKAGE['mmkd'] = 'mmkd'


def _look_in_place_first(config_utils: ModuleType) -> None:
    search = config_utils._get_external_cfg_path

    def find(package_path: str, cfg_file: str) -> str:
        path = osp.join(package_path, '.mim', 'configs', cfg_file)
        return path if osp.isfile(path) else search(package_path, cfg_file)

    rebind(config_utils, '_get_external_cfg_path', find)


def _read_metafiles_once(config_utils: ModuleType) -> None:
    # Only the metafiles are read by it, for each config that is named with its package.
    config_utils.load = functools.cache(config_utils.load)  # type: ignore[attr-defined]


def _leave_scope_to_the_heir(config: ModuleType) -> None:
    find = config.Config._get_cfg_path

    def find_without_scope(cfg_path: str, filename: str) -> tuple[str, str | None]:
        path, scope = find(cfg_path, filename)
        return path, None if scope == 'mmkd' else scope

    config.Config._get_cfg_path = staticmethod(find_without_scope)


def apply() -> None:
    """Patch three modules of MMEngine."""
    after_import('mmengine.utils.package_utils', _use_import_system)
    after_import('mmengine.config.utils', _know_mmkd)
    after_import('mmengine.config.utils', _look_in_place_first)
    after_import('mmengine.config.utils', _read_metafiles_once)
    after_import('mmengine.config.config', _leave_scope_to_the_heir)
