"""The console command `mmkd`: it lists its subcommands, and imports only the chosen one."""

import importlib
import subprocess
import sys

import pytest

from mmkd.cli import distill, main, print_config
from mmkd.pairing.methods import CLASSIFIER_METHODS, DETECTOR_METHODS

IMPORTED = """
import sys
from mmkd.cli.main import main
main(['--help'])
loaded = {name.partition('.')[0] for name in sys.modules}
assert not loaded & {'mmengine', 'mmdet', 'mmcv', 'rich'}, loaded
"""


@pytest.mark.parametrize('flag', ['-h', '--help'])
def test_help_lists_every_command(flag, capsys):
    main.main([flag])
    out = capsys.readouterr().out
    assert all(name in out for name in main.COMMANDS)


def test_help_imports_no_package():
    run = subprocess.run([sys.executable, '-c', IMPORTED], capture_output=True, text=True)
    assert run.returncode == 0, run.stderr


def test_help_lists_every_method():
    assert ', '.join(DETECTOR_METHODS) == distill.DETECTOR_METHODS
    assert ', '.join(CLASSIFIER_METHODS) == distill.CLASSIFIER_METHODS


@pytest.mark.parametrize('name', main.COMMANDS)
def test_each_command_has_a_module_and_a_script(name, repo):
    module = main.COMMANDS[name][0]
    assert callable(importlib.import_module(f'mmkd.cli.{module}').main)
    assert f'mmkd.cli.{module}' in (repo / 'tools' / f'{module}.py').read_text()


def test_a_mistake_lists_the_commands(capsys):
    with pytest.raises(SystemExit) as error:
        main.main(['distil'])
    assert error.value.code == 2
    err = capsys.readouterr().err
    assert "no command 'distil'; did you mean distill?" in err
    assert all(name in err for name in main.COMMANDS)
    with pytest.raises(SystemExit):
        main.main([])
    assert 'expected a command' in capsys.readouterr().err


def test_the_command_gets_the_arguments_and_its_result_is_dropped(monkeypatch):
    """A console script hands what it returns to sys.exit."""
    given = []
    monkeypatch.setattr(print_config, 'main', lambda argv: given.append(argv) or {'metric': 1})
    monkeypatch.setattr(sys, 'argv', ['/bin/mmkd'])
    assert main.main(['print-config', 'a.py', '--student']) is None
    assert given == [['a.py', '--student']]
    assert sys.argv[0] == 'mmkd print-config'
