"""A table of the modules of several models, side by side."""

from collections.abc import Mapping, Sequence
from itertools import groupby

from rich.table import Table

from mmkd.pairing.inspection.trace import Calls


def side_by_side(models: Mapping[str, Calls], *, depth: int = 2, containing: str = '') -> Table:
    """Table of the modules that ran: one row a name, one column a model.

    A module that ran several times shows the number of calls and the outputs of all of them.

    Args:
        models: Title of the column -> what :func:`mmkd.pairing.trace` noted.
        depth: Longest name shown, in parts: 1 shows ``backbone``, 2 ``backbone.layer4``.
        containing: Show only names that contain this text.

    Returns:
        A table that ``rich.print`` fits to the terminal.
    """
    table = Table(box=None, pad_edge=False)
    for title in ('module', *models):
        table.add_column(title, overflow='fold')
    for name in _merged_names([*models.values()]):
        if name.count('.') < depth and containing in name:
            table.add_row(name, *(_cell(calls.get(name, ())) for calls in models.values()))
    return table


def _merged_names(models: Sequence[Calls]) -> list[str]:
    """All names. Those of one part (backbone, neck) stay together, in the order of the model."""
    names = list(dict.fromkeys(name for calls in models for name in calls))
    parts = list(dict.fromkeys(name.split('.')[0] for name in names))
    return sorted(names, key=lambda name: parts.index(name.split('.')[0]))


def _cell(calls: Sequence[tuple]) -> str:
    """The outputs, one a line; equal neighbors share a line."""
    lines = [f'{len(calls)} calls:'] if len(calls) > 1 else []
    for text, equal in groupby(str(output) for call in calls for output in call):
        count = len([*equal])
        lines.append(text if count == 1 else f'{text} ({count}x)')
    return '\n'.join(lines)
