"""The table of rooms in docs/architecture.md is that of the code."""

import ast
import re

import pytest
from markdown_blocks import REPO

ROW = re.compile(r'^\| `mmkd/(\w+)` \| .* \| ?(.*?) ?\|$', re.MULTILINE)
ROOMS = dict(ROW.findall((REPO / 'docs/architecture.md').read_text()))
# What every room may import: the registries, and what they stand on.
COMMON = {'registry', 'version', 'compat'}


def imports_of(room):
    """First names below `mmkd` that the modules of a room import."""
    found = set()
    for path in (REPO / 'mmkd' / room).rglob('*.py'):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.ImportFrom) and node.module and node.module != 'mmkd':
                names = [node.module]
            elif isinstance(node, ast.ImportFrom) and node.module == 'mmkd':
                names = [f'mmkd.{alias.name}' for alias in node.names]
            elif isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            else:
                continue
            found |= {name.split('.')[1] for name in names if name.startswith('mmkd.')}
    return found - {room}


def test_every_room_is_listed():
    folders = {path.parent.name for path in (REPO / 'mmkd').glob('*/__init__.py')}
    assert folders == set(ROOMS)


@pytest.mark.parametrize('room', ROOMS)
def test_rooms_import_what_the_table_says(room):
    allowed = {name.strip() for name in ROOMS[room].split(',')}
    if 'all' not in allowed:
        assert imports_of(room) - COMMON <= allowed
