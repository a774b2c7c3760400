"""`import mmkd.functional` costs torch and a few small files: nothing else is loaded."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

import mmkd
from mmkd.cli.main import COMMANDS

NEW_MODULES = """
import sys
import torch
before = set(sys.modules)
{code}
print(*sorted(set(sys.modules) - before))
"""
CALL = 'x = torch.randn(4, 3, 8, 8); mmkd.functional.pcka(x, x, 4)'


def new_modules(code):
    """What ``code`` imports in a fresh process that has imported torch, beside Python's own."""
    run = subprocess.run(
        [sys.executable, '-c', NEW_MODULES.format(code=code)],
        env={**os.environ, 'PYTHONPATH': str(Path(mmkd.__file__).parents[1])},
        capture_output=True,
        text=True,
        check=True,
    )
    return {name for name in run.stdout.split() if top(name) not in sys.stdlib_module_names}


def top(module):
    return module.partition('.')[0]


HELP = """
import sys
from mmkd.cli.main import main
try:
    main([{command!r}, '--help'])
except SystemExit:
    pass
loaded = {{name.partition('.')[0] for name in sys.modules}}
assert not loaded & {{'torch', 'mmengine', 'yapf', 'rich'}}, loaded
"""


@pytest.mark.parametrize('command', COMMANDS)
def test_help_loads_no_package(command):
    run = subprocess.run(
        [sys.executable, '-c', HELP.format(command=command)], capture_output=True, text=True
    )
    assert run.returncode == 0, run.stderr
    assert 'usage: mmkd' in run.stdout


@pytest.mark.parametrize('call', ['', CALL], ids=['import', 'use'])
def test_functional_loads_neither_another_package_nor_another_room(call):
    modules = new_modules(f'import mmkd.functional\n{call}')
    assert {top(module) for module in modules} == {'mmkd'}
    rooms = {top(module.removeprefix('mmkd.')) for module in modules - {'mmkd'}}
    assert rooms == {'compat', 'functional', 'version'}
