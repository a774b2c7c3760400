"""Curves as the lines of a chart."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from mmkd.analysis.summary_table import columns_of
from mmkd.reporting.run_folder import RunFolder
from mmkd.reporting.run_groups import Group
from mmkd.reporting.run_log import number

Point = tuple[float, float]
# A line has at most this many points; each is the mean of what it stands for.
POINTS = 150
TOTAL = 'total loss'
# Size of a chart in the units of its SVG, and the places of its axes.
WIDTH, HEIGHT = 360, 220
LEFT, RIGHT, TOP, BOTTOM = 46, 12, 12, 34


@dataclass
class Line:
    """A curve of a run.

    Attributes:
        group: The group that it belongs to.
        points: (x, y) in data units.
        name: The group, with the run's seed if it has several runs.
        path: The line in units of the chart, for an SVG path.
    """

    group: str
    points: list[Point]
    name: str = ''
    path: str = ''

    @property
    def rounded(self) -> list[list[float]]:
        """The points with five digits, for the page."""
        return [[float(f'{value:.5g}') for value in point] for point in self.points]


@dataclass
class Chart:
    """Curves of all runs in one pair of axes.

    Attributes:
        title: What is on the y axis.
        x_label: What is on the x axis.
        lines: The curves.
        x_ticks: (place in the chart, label).
        y_ticks: The same.
        x_range: Data at the left and right end.
        y_range: Data at the lower and upper end.
    """

    title: str
    x_label: str
    lines: list[Line]
    x_ticks: list[tuple[float, str]] = field(default_factory=list)
    y_ticks: list[tuple[float, str]] = field(default_factory=list)
    x_range: Point = (0.0, 1.0)
    y_range: Point = (0.0, 1.0)


def metric_chart(groups: Sequence[Group], metric: str) -> Chart | None:
    """The metric at each validation; a teacher without a run of its own is a flat line."""
    lines, unit = [], 'epoch'
    for group in groups:
        for run in group.runs:
            rows = [(row['step'], columns_of(_results(row))) for row in run.log.validations]
            points = [(float(step), row[metric]) for step, row in rows if metric in row]
            lines.append(Line(group.name, points, name_of(group, run)))
            unit = run.unit
    ends = [x for line in lines for x, _ in line.points]
    for group in groups:
        if not group.runs and metric in group.columns and ends:
            value = group.columns[metric]
            lines.append(Line(group.name, [(min(ends), value), (max(ends), value)]))
    return chart_of(f'{metric} on the validation images', unit, lines)


def loss_charts(groups: Sequence[Group]) -> list[Chart]:
    """Every loss over the iterations. Task losses of a distillation have their plain names."""
    names: dict[str, None] = {}
    for run in _runs(groups):
        for row in run.log.train:
            names |= dict.fromkeys(_losses(row))
    order = sorted(names, key=lambda name: (name != TOTAL, name.startswith('distill.')))
    charts = []
    for name in order:
        lines = [
            Line(g.name, _values(run, name), name_of(g, run)) for g in groups for run in g.runs
        ]
        charts.append(chart_of(name, 'iteration', lines))
    return [chart for chart in charts if chart is not None]


def similarity_charts(groups: Sequence[Group]) -> list[Chart]:
    """Each logged similarity to the teacher over the epochs."""
    names: dict[str, None] = {}
    for run in _runs(groups):
        for row in run.log.similarity:
            names |= dict.fromkeys(name for name in row if name != 'step')
    charts = []
    for name in names:
        lines = [
            Line(g.name, points_of(run, name), name_of(g, run)) for g in groups for run in g.runs
        ]
        charts.append(chart_of(name.removeprefix('similarity/'), 'epoch', lines))
    return [chart for chart in charts if chart is not None]


def name_of(group: Group, run: RunFolder) -> str:
    """Name of a run's line: the group, and the seed if there are several."""
    if len(group.runs) == 1 or run.seed is None:
        return group.name
    return f'{group.name}, seed {run.seed}'


def points_of(run: RunFolder, name: str) -> list[Point]:
    """The logged values of a similarity."""
    return [(row['step'], row[name]) for row in run.log.similarity if name in row]


def _runs(groups: Sequence[Group]) -> list[RunFolder]:
    return [run for group in groups for run in group.runs]


def _results(row: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in row.items() if name != 'step'}


def _losses(row: dict[str, float]) -> dict[str, float]:
    """The losses of a logged step by the names of their charts."""
    found = {
        name.removeprefix('student.'): value
        for name, value in row.items()
        if 'loss' in name and name != 'loss'
    }
    if 'loss' in found or not found:  # a classifier's only loss is called `loss`
        found['task loss'] = found.pop('loss', row['loss'])
    return {TOTAL: row['loss'], **found}


def _values(run: RunFolder, name: str) -> list[Point]:
    rows = [(row['step'], _losses(row)) for row in run.log.train]
    return [(step, row[name]) for step, row in rows if name in row]


def chart_of(title: str, x_label: str, lines: Sequence[Line]) -> Chart | None:
    """Thin the lines out and place them; None if no line has a point."""
    kept = []
    for line in lines:
        points = [(x, y) for x, y in line.points if number(y) is not None]
        if points:
            kept.append(Line(line.group, _thinned(points), line.name or line.group))
    if not kept:
        return None
    from matplotlib.ticker import MaxNLocator

    chart = Chart(title, x_label, kept)
    xs, ys = ([p[axis] for line in kept for p in line.points] for axis in (0, 1))
    chart.x_range = _range(xs, 0.0)
    chart.y_range = _range(ys, 0.06)
    for axis, ticks in enumerate((chart.x_ticks, chart.y_ticks)):
        low, high = (chart.x_range, chart.y_range)[axis]
        locator = MaxNLocator(5, integer=axis == 0)
        for value in locator.tick_values(low, high):
            if low <= value <= high:
                place = _place((value, value), chart)[axis]
                ticks.append((round(place, 1), f'{value:.6g}'))
    for line in kept:
        places = [_place(point, chart) for point in line.points]
        line.path = 'M' + 'L'.join(f'{x:.1f} {y:.1f}' for x, y in places)
        if len(places) == 1:  # a dot
            line.path += 'h0.01'
    return chart


def _range(values: Sequence[float], margin: float) -> Point:
    low, high = min(values), max(values)
    extra = margin * (high - low) or (0.5 if low == high else 0.0)
    return low - extra, high + extra


def _place(point: Point, chart: Chart) -> Point:
    (left, right), (low, high) = chart.x_range, chart.y_range
    x = LEFT + (point[0] - left) / (right - left) * (WIDTH - LEFT - RIGHT)
    y = HEIGHT - BOTTOM - (point[1] - low) / (high - low) * (HEIGHT - TOP - BOTTOM)
    return x, y


def _thinned(points: Sequence[Point]) -> list[Point]:
    size = -(-len(points) // POINTS)
    parts = [points[start : start + size] for start in range(0, len(points), size)]
    return [(part[-1][0], sum(y for _, y in part) / len(part)) for part in parts]


def as_text(chart: Chart) -> dict[str, Any]:
    """The curves of a chart for the report's JSON."""
    lines = [dict(name=line.name, points=line.points) for line in chart.lines]
    return dict(title=chart.title, x=chart.x_label, lines=lines)
