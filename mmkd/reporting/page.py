"""The page of a report, from its template."""

import json
from collections.abc import Sequence
from importlib.resources import files
from typing import Any

from mmkd.reporting.chart_lines import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from mmkd.reporting.content import Content
from mmkd.reporting.predicted_figures import chosen_classes, shown_matrix

# What tells an earlier report, which may be replaced, from any other page.
MARK = '<meta name="generator" content="mmkd report">'
NONE = '-'
CHIPS = {
    'gain': 'gain shown',
    'loss': 'loss shown',
    'unclear': 'may be chance',
    'one seed': 'one seed',
    'alone': 'nothing to compare',
}


def render(content: Content, json_name: str) -> str:
    """Return the page. Every text of the data is escaped.

    Args:
        content: What the report says.
        json_name: Name of the file with the numbers.
    """
    from jinja2 import Environment, StrictUndefined

    environment = Environment(
        autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters.update(metric=_metric, count=_count, as_json=_as_json)
    folder = files(__package__) / 'template'
    template = environment.from_string((folder / 'report.html').read_text())
    chosen = chosen_classes(content.matrices) if content.matrices else []
    page = template.render(
        content.facts,
        # The template's own style and script; all else is escaped.
        style=(folder / 'report.css').read_text(),
        script=(folder / 'report.js').read_text(),
        mark=MARK,
        json_name=json_name,
        chip=CHIPS[content.facts['verdict']],
        charts=content.charts,
        similarity_charts=content.similarity,
        precision_recall_chart=content.precision_recall,
        pictures=content.pictures,
        matrices=[shown_matrix(matrix, chosen) for matrix in content.matrices],
        all_classes=len(content.matrices[0]['classes']) if content.matrices else 0,
        color=content.color,
        shown=_shown(content),
        axes=dict(
            width=WIDTH, height=HEIGHT, left=LEFT, right=WIDTH - RIGHT, top=TOP, low=HEIGHT - BOTTOM
        ),
    )
    return page.strip() + '\n'


def _shown(content: Content) -> list[str]:
    """Groups with a curve, in the order of the table."""
    charts = [*content.charts, *content.similarity]
    if content.precision_recall is not None:
        charts.append(content.precision_recall)
    drawn = {line.group for chart in charts for line in chart.lines}
    return [group['name'] for group in content.facts['groups'] if group['name'] in drawn]


def _metric(value: Any) -> str:
    """Mean and deviation of a column; COCO's -100 for objects that are not there is a dash."""
    if not value or (value['mean'] < 0 and value['std'] == 0):
        return NONE
    spread = f' ± {value["std"]:.1f}' if value['runs'] > 1 else ''
    return f'{value["mean"]:.1f}{spread}'


def _as_json(value: Any) -> str:
    return json.dumps(value, indent=2)


def _count(value: float | None) -> str:
    """A large number with its unit.

    Example:
        >>> _count(20_400_000)
        '20.4 M'
    """
    if value is None:
        return NONE
    units: Sequence[tuple[float, str]] = ((1e12, ' T'), (1e9, ' G'), (1e6, ' M'), (1e3, ' k'))
    for size, unit in units:
        if value >= size:
            return f'{value / size:.3g}{unit}'
    return f'{value:.0f}'
