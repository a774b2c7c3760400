"""Published results on the pages of the methods are those of the table of published settings."""

import sys
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(REPO / 'benchmarks'))

import published  # noqa: E402

PAGES = {path: path.read_text().splitlines() for path in (REPO / 'docs/methods').glob('*.md')}


def lines_about(row):
    """Rows of tables that name a row's config; PCKA's name its pair alone."""
    config = Path(published.config_of(row)).name
    names = [f'`{config}`', f'`{row.pair}`'] if row.method.startswith('pcka') else [f'`{config}`']
    return [
        line
        for lines in PAGES.values()
        for line in lines
        if line.startswith('|') and any(name in line for name in names)
    ]


SHOWN = [row for row in published.ROWS if row.result is not None and lines_about(row)]


def test_most_methods_have_a_table():
    assert {'pcka', 'rcka', 'fkd', 'cmkd', 'dlkd'} <= {row.method for row in SHOWN}


@pytest.mark.parametrize('row', SHOWN, ids=lambda row: Path(published.config_of(row)).stem)
def test_result_is_the_published_one(row):
    digits = 1 if row.pair in published.COCO_PAIRS else 2
    for line in lines_about(row):
        assert f'{row.result:.{digits}f}' in line
