"""Write the tables of docs/cli.md from the parsers: python docs/plugins/cli_page.py."""

import argparse
import importlib
import re
from pathlib import Path
from unittest import mock

from mmkd.cli.main import COMMANDS

PAGE = Path(__file__).resolve().parents[1] / 'cli.md'
REPEATED = re.compile(r'(\S+) \[\1 \.\.\.\]')  # KEY=VALUE [KEY=VALUE ...]
TABLE = re.compile(r'(<!-- options: (\S+) -->\n).*?(<!-- end -->)', re.DOTALL)


class _CapturedError(Exception):
    pass


def parser_of(module: str) -> argparse.ArgumentParser:
    """The parser that a module of `mmkd.cli` uses."""
    captured = []

    def capture(self, *_, **__):
        captured.append(self)
        raise _CapturedError

    main = importlib.import_module(module).main
    with mock.patch.object(argparse.ArgumentParser, 'parse_known_args', capture):
        try:
            main([])
        except _CapturedError:
            return captured[0]
    raise AssertionError(f'{module}: expected a parser of arguments')


def table(parser: argparse.ArgumentParser) -> str:
    """Markdown table of the arguments that a parser's help shows."""
    rows = ['| argument | meaning |', '|---|---|']
    formatter = argparse.HelpFormatter(parser.prog)
    for action in parser._actions:
        if action.help == argparse.SUPPRESS or isinstance(action, argparse._HelpAction):
            continue
        names = ', '.join(f'`{option}`' for option in action.option_strings)
        value = ''
        if action.nargs != 0:
            default = formatter._get_default_metavar_for_optional(action)
            value = formatter._format_args(action, default if names else action.dest.upper())
            value = REPEATED.sub(r'\1 ...', value)
        name = f'{names} `{value}`' if names and value else names or f'`{value}`'
        rows.append(f'| {_escape(name)} | {_escape(_meaning(formatter, action))} |')
    return '\n'.join(rows) + '\n'


def _meaning(formatter: argparse.HelpFormatter, action: argparse.Action) -> str:
    text = formatter._expand_help(action) if action.help else ''
    if action.required and action.option_strings:
        text += ' (required)'
    elif action.default not in (None, False, '') and '(default' not in text:
        text += f' (default: {action.default})'
    return text.replace('--', r'\--').strip()


def _escape(text: str) -> str:
    return text.replace('|', r'\|').replace('<', '&lt;')


def page(text: str) -> str:
    """The page with its tables written anew."""
    return TABLE.sub(
        lambda match: (
            f'{match[1]}\n{table(parser_of("mmkd.cli." + COMMANDS[match[2]][0]))}\n{match[3]}'
        ),
        text,
    )


if __name__ == '__main__':
    PAGE.write_text(page(PAGE.read_text()))
