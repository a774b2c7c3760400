"""What can be recorded of several models, side by side."""

from collections.abc import Mapping, Sequence
from itertools import groupby, zip_longest

from mmkd.pairing.inspection.trace import Calls

GAP = '  '


def side_by_side(
    models: Mapping[str, Calls], *, depth: int = 2, containing: str = '', width: int = 80
) -> str:
    """Table of the modules that ran, with a column for each model; matched by name.

    A module that ran several times shows how often, and then the outputs of all calls.

    Args:
        models: What :func:`mmkd.pairing.inspection.trace` noted, by the title of the column.
        depth: Parts of the longest names shown, 1 for ``backbone``.
        containing: Show only names that contain this text.
        width: Characters of a line. Where columns do not fit, they are put below each other.

    Returns:
        Lines of text.
    """
    names = [
        name
        for name in _merged_names([*models.values()])
        if name.count('.') < depth and containing in name
    ]
    rows = [(name, [_cell(calls.get(name, ())) for calls in models.values()]) for name in names]
    table = _columns([('module', [[title] for title in models]), *rows])
    if max(map(len, table)) <= width:
        return '\n'.join(table)
    return '\n'.join(_below_each_other([*models], rows))


def _merged_names(models: Sequence[Calls]) -> list[str]:
    """All names, those of one part (backbone, neck) together, each in its model's order."""
    names = list(dict.fromkeys(name for calls in models for name in calls))
    parts = list(dict.fromkeys(name.split('.')[0] for name in names))
    return sorted(names, key=lambda name: parts.index(name.split('.')[0]))


def _cell(calls: Sequence[tuple]) -> list[str]:
    """Lines that describe the outputs; equal ones in a row are said once."""
    outputs = [str(output) for call in calls for output in call]
    lines = []
    for text, equal in groupby(outputs):
        count = len([*equal])
        lines.append(text if count == 1 else f'{text} ({count}x)')
    return [f'{len(calls)} calls:', *lines] if len(calls) > 1 else lines


def _columns(rows: Sequence[tuple[str, list[list[str]]]]) -> list[str]:
    lines = [line for name, cells in rows for line in zip_longest([name], *cells, fillvalue='')]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return [
        GAP.join(text.ljust(size) for text, size in zip(line, widths, strict=True)).rstrip()
        for line in lines
    ]


def _below_each_other(
    titles: Sequence[str], rows: Sequence[tuple[str, list[list[str]]]]
) -> list[str]:
    lines = []
    for name, cells in rows:
        lines.append(name)
        for title, cell in zip(titles, cells, strict=True):
            labels = [f'{GAP}{title}'] + [''] * len(cell)
            size = max(map(len, titles)) + len(GAP)
            lines += [
                f'{label:<{size}}{GAP}{text}' for label, text in zip(labels, cell, strict=False)
            ]
    return lines
