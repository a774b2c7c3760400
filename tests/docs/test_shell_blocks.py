"""Shell blocks of README and docs: commands, options, files and settings exist."""

import argparse
import functools
import re
import runpy
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from markdown_blocks import BLOCKS, REPO, SHELL, SHELLS, Block
from mmengine.config import Config

from mmkd.cli.main import COMMANDS
from mmkd.pairing.methods import CLASSIFIER_METHODS, DETECTOR_METHODS

# Commands of the system, which are not ours to check.
SYSTEM = {
    'pip',
    'git',
    'cd',
    'mkdir',
    'cp',
    'mv',
    'rm',
    'rmdir',
    'cut',
    'read',
    'while',
    'do',
    'done',
    'for',
}
# Arguments of our shell scripts before those of the Python script that they start.
SCRIPTS = {
    'dist_train.sh': ('train.py', ['config', 'processes']),
    'dist_test.sh': ('test.py', ['config', 'checkpoint', 'processes']),
    'slurm_train.sh': ('train.py', ['partition', 'job', 'config']),
    'slurm_test.sh': ('test.py', ['partition', 'job', 'config', 'checkpoint']),
}
CONFIG = re.compile(r'\b(mmkd|mmdet|mmpretrain|configs)(::|/)([\w./-]+\.py)')


class _CapturedError(Exception):
    pass


class _UsageError(Exception):
    pass


@functools.cache
def parser_of(script: str) -> argparse.ArgumentParser:
    """The parser that a Python script of the repository uses."""
    captured: list[Any] = []

    def capture(self, *_, **__):
        captured.append(self)
        raise _CapturedError

    path = REPO / script
    with (
        mock.patch.object(argparse.ArgumentParser, 'parse_known_args', capture),
        mock.patch.object(sys, 'argv', [script]),
        mock.patch.object(sys, 'path', [str(path.parent), *sys.path]),
        pytest.raises(_CapturedError),
    ):
        runpy.run_path(str(path), run_name='__main__')
    return captured[0]


def parse(script: str, arguments: list[str]) -> argparse.Namespace:
    def error(self, message):
        raise _UsageError(f'{script} {shlex.join(arguments)}: {message}')

    with mock.patch.object(argparse.ArgumentParser, 'error', error):
        return parser_of(script).parse_args(arguments)


def commands(block: Block) -> list[list[str]]:
    """The simple commands of a block, without variables set before them."""
    text = block.code.replace('\\\n', ' ')
    found = []
    for line in text.splitlines():
        for part in re.split(r'&&|\||;', line) if '#' not in line else [line]:
            words = shlex.split(part, comments=True)
            while words and (words[0] in ('do', 'while') or re.match(r'[A-Z_]+=', words[0])):
                words.pop(0)
            if words:
                found.append(words)
    return found


@pytest.mark.parametrize('block', SHELL, ids=str)
def test_is_valid_shell(block):
    subprocess.run(['bash', '-n'], input=block.code, text=True, check=True)


@pytest.mark.parametrize('block', SHELL, ids=str)
def test_commands_and_options_exist(block):
    for words in commands(block):
        check_command(words)


def check_command(words: list[str]) -> None:
    name, arguments = words[0], words[1:]
    if name == 'make':
        check_make(arguments)
    elif name == 'mmkd':
        assert arguments[0] in COMMANDS, words
        check_options(f'tools/{COMMANDS[arguments[0]][0]}.py', arguments[1:])
    elif name in ('python', 'python3') and arguments[0] == 'docs/plugins/cli_page.py':
        pass
    elif name in ('python', 'python3'):
        assert (REPO / arguments[0]).is_file(), words
        check_options(arguments[0], arguments[1:])
    elif Path(name).name in SCRIPTS:
        assert (REPO / name).is_file(), words
        script, positional = SCRIPTS[Path(name).name]
        given = dict(zip(positional, arguments, strict=False))
        assert len(given) == len(positional), words
        models = [given[key] for key in ('config', 'checkpoint') if key in given]
        check_options(f'tools/{script}', [*models, *arguments[len(positional) :]])
    elif name.startswith('.venv/bin/'):
        assert not arguments or not arguments[-1].startswith('tests/') or REPO / arguments[-1]
    else:
        assert name in SYSTEM, f'{words}: expected a command that can be checked'


def check_make(arguments: list[str]) -> None:
    targets = re.findall(r'^([\w-]+):', (REPO / 'Makefile').read_text(), re.MULTILINE)
    for argument in arguments:
        assert '=' in argument or argument in targets, argument


def check_options(script: str, arguments: list[str]) -> None:
    args = parse(script, arguments)
    if method := getattr(args, 'method', None):
        methods = {method} if isinstance(method, str) else {*method}
        assert methods <= {*DETECTOR_METHODS, *CLASSIFIER_METHODS}
    options, config = getattr(args, 'cfg_options', None), getattr(args, 'config', None)
    if options and config and config_path(config) is not None:
        check_settings(config_path(config), options)


def config_path(name: str) -> Path | None:
    """The file of a config of this repository; None for one that only the reader has."""
    path = REPO / name.replace('mmkd::', 'configs/')
    return path if path.is_file() else None


def check_settings(path: Path, options: dict[str, Any]) -> None:
    """Each option's parent exists in the config, so that it changes what it means to."""
    cfg = Config.fromfile(path)
    for key in options:
        where = cfg
        for part in key.split('.')[:-1]:
            assert part in where, f'{path.name} has no {key}'
            where = where[int(part)] if isinstance(where, list) else where[part]


@pytest.mark.parametrize('block', [b for b in BLOCKS if b.language in ('python', *SHELLS)], ids=str)
def test_configs_exist(block):
    for package, separator, name in CONFIG.findall(block.code):
        if package == 'configs':
            assert (REPO / 'configs' / name).is_file(), name
        elif separator == '::':
            assert Config._get_cfg_path(f'{package}::{name}', '')[0], name
            assert Path(Config._get_cfg_path(f'{package}::{name}', '')[0]).is_file(), name
