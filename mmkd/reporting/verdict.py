"""The table of a comparison, and what its gains show in a sentence."""

from collections.abc import Sequence
from dataclasses import dataclass
from statistics import mean
from typing import Any, Literal

from mmkd.analysis.summary_table import Gain, describe_gain, paired_gain, summarize
from mmkd.reporting.run_groups import TEACHER, Group

# What a gain shows: it is there, it is a loss, either may be chance, one seed cannot tell, or there
# is nothing to compare with.
Kind = Literal['gain', 'loss', 'unclear', 'one seed', 'alone']


@dataclass(frozen=True)
class Verdict:
    """What the comparison shows.

    Attributes:
        kind: See :data:`Kind`.
        headline: The result in a sentence.
        reason: Whether the gain is real, and why.
        metric: The column of the gain; empty without metrics.
        best: The method with the highest gain, or the highest metric; None without metrics.
        gains: The gain of each method over the student alone.
    """

    kind: Kind
    headline: str
    reason: str
    metric: str
    best: Group | None
    gains: dict[str, Gain]


def table_of(groups: Sequence[Group]) -> tuple[list[str], dict[str, Any]]:
    """Return the columns of the metrics, and mean, deviation and values for each group."""
    columns: list[str] = []
    for group in groups:
        columns += [name for row in group.rows for name in row if name not in columns]
    rows = {}
    for group in groups:
        # Without a single detection CocoMetric gives no AP.
        shared = [name for name in columns if any(name in row for row in group.rows)]
        if group.rows:
            full = [{name: row.get(name, 0.0) for name in shared} for row in group.rows]
            rows[group.name] = summarize({group.name: full})[group.name]
    return columns, rows


def judge(groups: Sequence[Group]) -> Verdict:
    """Say what was gained over the student alone."""
    columns, table = table_of(groups)
    taught = [g for g in groups if g.role == 'distilled' and g.name in table]
    others = [g for g in groups if g.role in ('student', 'model') and g.name in table]
    alone = next((group for group in groups if group.role == 'student' and group.rows), None)
    if not columns or not (taught or others):
        return Verdict('alone', 'No run has a validation yet.', '', '', None, {})
    metric = next(name for name in columns if name in table[(taught or others)[0].name])
    if not taught or alone is None:
        best = max(taught or others, key=lambda group: table[group.name][metric]['mean'])
        headline = f'{best.name} reaches {table[best.name][metric]["mean"]:.1f} {metric}.'
        reason = (
            'No run of the student alone is here, so nothing shows whether the teacher helped.'
            if taught
            else 'No distillation is here to compare with.'
        )
        return Verdict('alone', headline, reason, metric, best, {})
    gains = {group.name: gain_of(group, alone, metric) for group in taught}
    best = max(taught, key=lambda group: gains[group.name].mean)
    gain = gains[best.name]
    unit = metric if 'AP' in metric else f'points of {metric}'
    value = f'{abs(gain.mean):.1f} {unit}'
    if round(gain.mean, 1) == 0:
        headline = f'{best.name} is level with the student alone in {metric}.'
    elif gain.mean > 0:
        headline = f'{best.name} gains {value} over the student alone.'
    else:
        headline = f'{best.name} is {value} behind the student alone.'
    unfinished = [run for group in (best, alone) for run in group.runs if not run.is_finished]
    if unfinished:
        headline = f'Not final: {headline}'
    return Verdict(_kind(gain), headline, _reason(gain), metric, best, gains)


def gain_of(group: Group, alone: Group, metric: str) -> Gain:
    """The gain of a method over the student alone, over the seeds that both have."""
    first, second = group.by_seed(), alone.by_seed()
    both = [
        seed
        for seed in first
        if seed in second
        and metric in first[seed].columns
        and metric in second[seed].columns
    ]  # fmt: skip
    if len(both) > 1:
        sides = [[runs[seed].columns[metric] for seed in both] for runs in (first, second)]
        return paired_gain(*sides)
    if both:
        values = [runs[both[0]].columns[metric] for runs in (first, second)]
        return Gain(values[0] - values[1], None, None, 1)
    sides = [[row.get(metric, 0.0) for row in each.rows] for each in (group, alone)]
    return Gain(mean(sides[0]) - mean(sides[1]), None, None, 0)


def _kind(gain: Gain) -> Kind:
    if gain.low is None or gain.high is None:
        return 'one seed'
    if gain.low <= 0 <= gain.high:
        return 'unclear'
    return 'gain' if gain.mean > 0 else 'loss'


def _reason(gain: Gain) -> str:
    if gain.low is None or gain.high is None:
        if gain.pairs == 0:
            return 'The runs have no seed in common, so there is no interval: it may be chance.'
        return 'One seed gives no interval: it may be chance.'
    interval = f'The 95 % interval over {gain.pairs} paired seeds is {gain.low:+.1f} to '
    interval += f'{gain.high:+.1f}'
    if _kind(gain) == 'unclear':
        return f'{interval}, which includes 0: it may be chance.'
    return f'{interval}: the {"gain" if gain.mean > 0 else "loss"} is real.'


def sentences(verdict: Verdict) -> list[str]:
    """What the gain of each method shows."""
    return [describe_gain(name, gain, verdict.metric) for name, gain in verdict.gains.items()]


def gap_closed(groups: Sequence[Group], verdict: Verdict) -> float | None:
    """Percent of the gap between student and teacher that the best method closes."""
    _, table = table_of(groups)
    if not verdict.gains or verdict.best is None or TEACHER not in table:
        return None
    teacher = table[TEACHER].get(verdict.metric)
    alone = next((table[g.name] for g in groups if g.role == 'student' and g.name in table), None)
    gap = 0.0 if teacher is None or alone is None else (
        teacher['mean'] - alone[verdict.metric]['mean']
    )  # fmt: skip
    return 100 * verdict.gains[verdict.best.name].mean / gap if gap > 0 else None
