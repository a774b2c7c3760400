"""The two import hooks on throw-away packages."""

import importlib
import inspect
import sys
from types import ModuleType

import pytest

from mmkd.compat import import_hooks
from mmkd.compat.import_hooks import after_import, install, provide, rebind


@pytest.fixture(autouse=True)
def _fresh_hooks(monkeypatch):
    """Own finders, and no module of the test is left behind."""
    before = set(sys.modules)
    for name in ('_overrides', '_fallbacks'):
        monkeypatch.setattr(import_hooks, name, import_hooks._Provider())
    monkeypatch.setattr(import_hooks, '_patcher', import_hooks._Patcher())
    monkeypatch.setattr(sys, 'meta_path', list(sys.meta_path))
    install()
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


@pytest.fixture
def package(tmp_path, monkeypatch):
    """An installed package ``installed`` with the sub-module ``installed.part``."""
    folder = tmp_path / 'installed'
    folder.mkdir()
    (folder / '__init__.py').write_text('')
    (folder / 'part.py').write_text('value = 1\n\n\ndef read():\n    return value\n')
    monkeypatch.syspath_prepend(tmp_path)
    return folder


def factory(name):
    module = ModuleType(name)
    module.made_for = name
    return module


def double(module):
    module.value *= 2


def test_install_again_changes_nothing():
    before = list(sys.meta_path)
    install()
    assert sys.meta_path == before


def test_a_missing_module_is_provided_under_its_name():
    provide('absent_module', factory)
    module = importlib.import_module('absent_module')
    assert module.made_for == module.__name__ == module.__spec__.name == 'absent_module'
    assert sys.modules['absent_module'] is module


def test_without_tree_nothing_below_is_provided():
    provide('absent_module', factory)
    with pytest.raises(ModuleNotFoundError, match='absent_module'):
        importlib.import_module('absent_module.part')


def test_tree_provides_everything_below_and_nothing_beside():
    provide('absent_module', factory, tree=True)
    assert importlib.import_module('absent_module.part.deeper').made_for.endswith('part.deeper')
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('absent_module_two')


@pytest.mark.usefixtures('package')
def test_an_installed_module_wins_unless_overridden():
    provide('installed.part', factory)
    assert importlib.import_module('installed.part').value == 1
    del sys.modules['installed.part']
    provide('installed.part', factory, override=True)
    assert importlib.import_module('installed.part').made_for == 'installed.part'


@pytest.mark.usefixtures('package')
def test_patch_follows_the_import():
    after_import('installed.part', double)
    assert 'installed.part' not in sys.modules  # registering imports nothing
    assert importlib.import_module('installed.part').value == 2


@pytest.mark.usefixtures('package')
def test_patch_of_an_imported_module_is_immediate_and_happens_once():
    part = importlib.import_module('installed.part')
    after_import('installed.part', double)
    after_import('installed.part', double)
    assert part.value == 2


@pytest.mark.usefixtures('package')
def test_patches_run_in_the_order_they_were_given_and_again_on_reload():
    after_import('installed.part', double)
    after_import('installed.part', lambda module: setattr(module, 'value', module.value + 1))
    part = importlib.import_module('installed.part')
    assert part.value == 3
    part.value = 0
    assert importlib.reload(part).value == 3


def test_source_of_a_patched_module_is_still_found(package):
    after_import('installed.part', double)
    part = importlib.import_module('installed.part')
    assert part.__file__ == str(package / 'part.py')
    assert 'return value' in inspect.getsource(part.read)


def test_patch_of_a_package_that_is_not_installed_stays_unused():
    after_import('absent_module', double)
    with pytest.raises(ModuleNotFoundError):
        importlib.import_module('absent_module')


def test_rebind_reaches_modules_of_the_package_that_hold_the_function_and_no_others(package):
    (package / 'user.py').write_text('from installed.part import read\n')
    (package / 'other.py').write_text('def read():\n    return "own"\n')
    (package.parent / 'outsider.py').write_text('from installed.part import read\n')
    names = ('installed.part', 'installed.user', 'installed.other', 'outsider')
    part, user, other, outsider = map(importlib.import_module, names)
    rebind(part, 'read', lambda: 'new')
    assert [m.read() for m in (part, user, other, outsider)] == ['new', 'new', 'own', 1]
