"""A mistake on a command line ends in one line and status 2; a bug keeps its traceback."""

import argparse
import sys

import pytest

from mmkd.cli.command import CommandParser, run_command
from mmkd.cli.config_options import ConfigOptions, parse_value
from mmkd.functional.checks import check_positive_int


def fail(error):
    def main():
        raise error

    return main


def stopped(main, capsys, monkeypatch, *arguments):
    """What a command prints that stops with status 2."""
    monkeypatch.setattr(sys, 'argv', ['mmkd train', *arguments])
    with pytest.raises(SystemExit) as stop:
        run_command(main)
    assert stop.value.code == 2
    return capsys.readouterr().err


@pytest.mark.parametrize(
    ('error', 'line'),
    [
        (FileNotFoundError(2, 'No such file or directory', 'a b.py'), 'a b.py: no such file'),
        (FileNotFoundError('data: no file'), 'data: no file'),
        (IsADirectoryError(21, 'Is a directory', 'x'), 'x: is a directory'),
    ],
)
def test_mistake_is_one_line(error, line, capsys, monkeypatch):
    err = stopped(fail(error), capsys, monkeypatch)
    assert err.startswith(f'mmkd train: error: {line}')
    assert err.count('\n') == 1


def test_mistake_found_here_stands_alone(capsys, monkeypatch):
    err = stopped(lambda: check_positive_int('epochs', -3), capsys, monkeypatch)
    assert err.startswith('mmkd train: error: epochs: expected')
    assert '--debug' not in err


def test_place_of_a_foreign_error_is_named(capsys, monkeypatch):
    err = stopped(fail(ValueError('odd')), capsys, monkeypatch)
    assert 'error: odd (ValueError in tests/cli/test_command.py, line' in err


def test_debug_shows_the_traceback(monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['mmkd train', 'a.py', '--debug'])
    with pytest.raises(ValueError, match='odd'):
        run_command(fail(ValueError('odd')))


def test_bug_keeps_its_traceback():
    with pytest.raises(AttributeError):
        run_command(fail(AttributeError('x')))


@pytest.fixture
def parser():
    parser = CommandParser(prog='mmkd train')
    parser.add_argument('--epochs', type=int)
    parser.add_argument('--cfg-options', nargs='+', action=ConfigOptions)
    return parser


@pytest.mark.parametrize(
    ('arguments', 'line'),
    [
        (['--epoch', 'x'], "argument --epochs: invalid int value: 'x'"),
        (['--epocs=3'], 'unknown arguments --epocs=3; did you mean --epochs?'),
        (['--zzz'], 'unknown arguments --zzz (see --help)'),
        (['--cfg-options', 'foo'], "argument --cfg-options: expected KEY=VALUE, got 'foo'"),
        (['--cfg-options', '=1'], "argument --cfg-options: expected KEY=VALUE, got '=1'"),
        (['--cfg-options', 'a..b=1'], "argument --cfg-options: expected KEY=VALUE, got 'a..b=1'"),
        (['--cfg-options', 'a=[1,'], 'argument --cfg-options: a: expected brackets and quotes'),
        (['--cfg-options', 'a=(1]'], 'argument --cfg-options: a: expected brackets'),
        (['--cfg-options', 'a={1: 2}'], 'argument --cfg-options: a: expected KEY.NAME=VALUE'),
    ],
)
def test_parser_names_the_option(parser, arguments, line, capsys):
    with pytest.raises(SystemExit) as stop:
        parser.parse_args(arguments)
    assert stop.value.code == 2
    err = capsys.readouterr().err
    assert err.startswith(f'mmkd train: error: {line}')
    assert err.count('\n') == 1


def test_config_options_are_collected(parser):
    args = parser.parse_args(['--cfg-options', 'a=1', 'b.c=x=y', '--cfg-options', 'a=2'])
    assert args.cfg_options == {'a': 2, 'b.c': 'x=y'}
    assert isinstance(args, argparse.Namespace)


@pytest.mark.parametrize(
    ('text', 'value'),
    [
        ('1', 1),
        ('1e-3', 1e-3),
        ('True', True),
        ('false', False),
        ('None', None),
        ('', ''),
        ('1,2', [1, 2]),
        ('[(1,2),(3,4)]', [(1, 2), (3, 4)]),
        ("['a','b']", ['a', 'b']),
        ('(1,)', (1,)),
        ('/my data/x y.pth', '/my data/x y.pth'),
        ('[my data, x]', ['my data', 'x']),
        ('"a,b.pth"', 'a,b.pth'),
        ("it's", "it's"),
    ],
)
def test_values_are_those_of_mmengine_with_spaces(text, value):
    assert repr(parse_value(text)) == repr(value)
